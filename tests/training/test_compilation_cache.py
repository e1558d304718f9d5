import jax
import pytest

from bert_jax.training.compilation_cache import use_compilation_cache


@pytest.fixture
def no_cache():
    """Leave JAX without a cache of its own, and restore what it had."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_beside_the_runs(no_cache, tmp_path):
    use_compilation_cache(str(tmp_path / "runs"))
    folder = jax.config.values["jax_compilation_cache_dir"]
    assert folder.startswith(f"{tmp_path}/runs/.compiled/cpu-")
    use_compilation_cache(str(tmp_path / "others"))  # a folder that is chosen already stays
    assert jax.config.values["jax_compilation_cache_dir"] == folder
    assert not (tmp_path / "runs").exists()
