"""Compiled programs on disk, so that a run that is resumed does not compile them again."""

import hashlib
import platform
from pathlib import Path

import jax

from bert_jax.remote.addresses import WRITTEN, as_path

FOLDER = ".compiled"


def use_compilation_cache(runs_dir: str) -> None:
    """Keep JAX's persistent compilation cache beside the runs, unless one is chosen already.

    `JAX_COMPILATION_CACHE_DIR` names another folder, `JAX_ENABLE_COMPILATION_CACHE=false` turns it
    off. Programs for CPUs are kept apart by the kind of CPU, whose instructions they use.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = as_path(runs_dir, WRITTEN).absolute() / FOLDER
    if jax.default_backend() == "cpu":
        folder /= f"cpu-{_cpu_kind()}"
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _cpu_kind() -> str:
    """Return a short hash of this CPU's architecture and instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    described = f"{platform.machine()} {platform.processor()} {flags}"
    return hashlib.sha256(described.encode()).hexdigest()[:8]
