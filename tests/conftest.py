"""Strict settings for every test: 8 devices, no silent rank promotion, checked shapes."""

import atexit
import os
import shutil
import signal
import tempfile

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compile fast rather than run fast: most of the time on the suite's small models is compilation.
# The last option has an effect in jaxlib 0.10; later versions have dropped it, and ignore it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
)
# A program that an earlier test compiled, or a process that a test started, is not compiled again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jax-cache-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

from pathlib import Path

import jax
import pytest

from tests.shapes import check_shapes

check_shapes()
pytest_plugins = [
    "tests.small_texts", "tests.word_pairs", "tests.remote.small_store",
    "tests.explorer.tiny_models",
]  # fmt: skip
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def hangup_heard():
    """Let this process and its children hear SIGHUP, also when the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def backend_compilations():
    """Return a list that grows by one with every program that XLA compiles."""
    events = []

    def listen(event, duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """Rows of the made-up corpus."""
    from tests.nano import prepare_nano

    return prepare_nano(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def nano_run(prepared, tmp_path_factory) -> Path:
    """The directory of a tiny run that has ended."""
    import pretrain
    from tests.nano import make_nano

    config = make_nano(prepared, tmp_path_factory.mktemp("nano"))
    assert pretrain.main(config) == 0
    return Path(config.runs_dir) / config.name
