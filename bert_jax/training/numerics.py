"""The numerics of a training script: precision of float32 products, and the same bits on GPUs."""

import os

import jax
from jax._src import xla_bridge  # the only place that tells whether devices are in use

from bert_jax.errors import ConfigError
from bert_jax.nn.execution import Dtype, MatmulPrecision, device_platform, matmul_precision

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def set_numerics(
    dtype: Dtype, precision: MatmulPrecision = "auto", deterministic: bool = False
) -> None:
    """Set the precision of float32 products, and ask XLA for deterministic programs on GPUs.

    Call it before anything asks for a device.

    Args:
        dtype: the run's dtype.
        precision: as `matmul_precision` takes it.
        deterministic: the same bits from every run on the same GPUs: no operations that depend on
            the order of threads, such as atomic additions of scatters, and no kernels chosen by
            timing them. Programs for CPUs and TPUs are deterministic without it.

    Raises:
        ConfigError: a GPU is in use, and XLA was not told before.
    """
    jax.config.update("jax_default_matmul_precision", matmul_precision(dtype, precision))
    flags = os.environ.get("XLA_FLAGS", "").split()
    if not deterministic or DETERMINISTIC in flags:
        return
    if not xla_bridge.backends_are_initialized():
        os.environ["XLA_FLAGS"] = " ".join([*flags, DETERMINISTIC])
    elif device_platform() in ("cuda", "rocm"):
        raise ConfigError(
            "--deterministic is given, but this process has started to use a GPU without it",
            f"{DETERMINISTIC} in XLA_FLAGS before anything asks for a device",
            f'run the script in a process of its own, or set XLA_FLAGS="{DETERMINISTIC}"',
        )
