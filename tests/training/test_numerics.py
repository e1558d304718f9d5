"""Precision of float32 products, and what the same bits need on a GPU."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from bert_jax.errors import ConfigError
from bert_jax.training import numerics
from bert_jax.training.numerics import DETERMINISTIC, set_numerics


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    before = jax.config.values["jax_default_matmul_precision"]
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    yield
    jax.config.update("jax_default_matmul_precision", before)


@pytest.mark.parametrize(
    ("dtype", "precision", "exact"),
    [
        ("float32", "auto", True), ("bfloat16", "auto", False),
        ("float32", "default", False), ("bfloat16", "float32", True),
    ],
)  # fmt: skip
def test_products_of_float32_and_their_gradients_have_the_precision(dtype, precision, exact):
    set_numerics(dtype, precision)
    gradient = jax.grad(lambda x: (x @ x).sum())
    text = jax.jit(gradient).lower(jnp.ones((4, 4))).as_text()
    assert text.count("HIGHEST") == (4 if exact else 0)  # two operands of two products


def flags():
    return numerics.os.environ["XLA_FLAGS"].split()


def test_xla_is_told_before_it_starts_and_keeps_its_other_flags(monkeypatch):
    monkeypatch.setattr(numerics.xla_bridge, "backends_are_initialized", lambda: False)
    set_numerics("float32")
    assert flags() == ["--xla_cpu_enable_fast_math=false"]
    for _ in range(2):
        set_numerics("float32", deterministic=True)
        assert flags() == ["--xla_cpu_enable_fast_math=false", DETERMINISTIC]


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_a_gpu_in_use_is_refused_unless_xla_was_told(monkeypatch, platform):
    monkeypatch.setattr(numerics, "device_platform", lambda: platform)
    assert numerics.xla_bridge.backends_are_initialized()
    with pytest.raises(ConfigError, match="has started to use a GPU without it") as caught:
        set_numerics("float32", deterministic=True)
    assert (caught.value.exit_code, str(caught.value).count("\n")) == (2, 2)
    monkeypatch.setenv("XLA_FLAGS", DETERMINISTIC)
    set_numerics("float32", deterministic=True)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_other_devices_need_nothing(monkeypatch, platform):
    monkeypatch.setattr(numerics, "device_platform", lambda: platform)
    set_numerics("float32", deterministic=True)
    assert DETERMINISTIC not in flags()


def test_xla_knows_the_option(monkeypatch):
    """An unknown one would end the process."""
    code = (
        "from bert_jax.training.numerics import set_numerics; import jax, os\n"
        "set_numerics('float32', deterministic=True)\n"
        "print(os.environ['XLA_FLAGS'], float(jax.numpy.ones(3).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.split()[-2:] == [DETERMINISTIC, "3.0"], done.stderr
