"""Execution settings of a model (dtypes, attention kernel, memory), apart from its architecture."""

import dataclasses
from typing import Any, Literal

import jax

from bert_jax.errors import ConfigError

Dtype = Literal["float32", "bfloat16"]
MatmulPrecision = Literal["auto", "float32", "default"]
AttentionKernel = Literal["xla", "cudnn", "splash"]
KERNEL_PLATFORMS: dict[str, str] = {"cudnn": "cuda", "splash": "tpu"}
"""Platform of each fused attention kernel."""
AUTO_KERNELS: dict[str, AttentionKernel] = {"cuda": "cudnn"}
"""Fused attention kernel that "auto" takes on a platform."""


@dataclasses.dataclass(frozen=True)
class Execution:
    """Settings of a forward pass; hashable, so that it can be a static argument under `jax.jit`."""

    dtype: Dtype = "float32"
    """Dtype of activations and matrix products; softmax, layer norm and losses stay in float32."""
    attention: AttentionKernel = "xla"
    """Attention kernel, from `choose_execution`."""
    remat: bool = False
    """Recompute each layer in the backward pass instead of keeping its activations."""
    unroll: bool = False
    """Unroll the loop over layers."""
    eval_attention: AttentionKernel = "xla"
    """Attention kernel of evaluation, which has no dropout."""

    @property
    def in_evaluation(self) -> "Execution":
        """The settings of evaluation."""
        return dataclasses.replace(self, attention=self.eval_attention)


DEFAULT_EXECUTION = Execution()


def choose_execution(
    attention: Literal["auto"] | AttentionKernel,
    *,
    platform: str,
    dtype: Dtype,
    dropout_rate: float,
    remat: bool = False,
    unroll: bool = False,
) -> Execution:
    """Build an `Execution` with the attention kernel for a platform, before anything is compiled.

    Fused kernels work in bfloat16, without dropout on attention probabilities, each on one platform
    (`KERNEL_PLATFORMS`). "auto" takes `AUTO_KERNELS` where they work.

    Args:
        attention: "auto", "xla" or a fused kernel.
        platform: "cuda", "rocm", "cpu" or "tpu", as in `device_platform()`.
        dtype: of activations and matrix products.
        dropout_rate: dropout on attention probabilities while training.
        remat: recompute each layer in the backward pass.
        unroll: unroll the loop over layers.

    Raises:
        ConfigError: a fused kernel is asked for where it cannot work.
    """
    wanted = AUTO_KERNELS.get(platform, "xla") if attention == "auto" else attention
    always = {
        f"platform {platform!r}": platform != KERNEL_PLATFORMS.get(wanted),
        f"dtype {dtype!r}": dtype != "bfloat16",
    }
    in_training = {f"attention_probs_dropout_prob {dropout_rate}": dropout_rate > 0}
    reasons = [reason for reason, holds in (always | in_training).items() if holds]
    if attention in KERNEL_PLATFORMS and reasons:
        raise ConfigError(
            f"attention = {attention!r} cannot run with {', '.join(reasons)}",
            f"platform {KERNEL_PLATFORMS[attention]!r}, dtype 'bfloat16' and"
            " attention_probs_dropout_prob 0",
            "pass attention 'auto' or 'xla'",
        )
    kernel = "xla" if reasons else wanted
    eval_kernel = "xla" if any(always.values()) else wanted
    return Execution(dtype, kernel, remat, unroll, eval_kernel)


def matmul_precision(
    dtype: Dtype, precision: MatmulPrecision = "auto"
) -> Literal["float32", "default"]:
    """Return the precision of float32 matrix products, as `jax.default_matmul_precision` takes it.

    JAX's own default is TensorFloat-32 on GPUs and bfloat16 on TPUs; CPUs always compute in
    float32. A float32 model means it: its numbers are those of a CPU up to rounding. In a bfloat16
    model only the optimizer multiplies in float32 (Muon), where the device's default is enough.

    Args:
        dtype: of the model's activations and matrix products.
        precision: "auto" goes by the dtype; "float32" and "default" do not.
    """
    if precision == "auto":
        return "float32" if dtype == "float32" else "default"
    return precision


def device_platform(device: jax.Device | None = None) -> str:
    """Return the platform of a device, or of the default one: "cpu", "tpu", "cuda" or "rocm"."""
    device = device or jax.devices()[0]
    if device.platform != "gpu":
        return device.platform
    # An absent GPU, for which a program is only compiled, has no client.
    version = getattr(device.client, "platform_version", "")
    return "rocm" if "rocm" in version.lower() else "cuda"


def cast_params(params: Any, dtype: str) -> Any:
    """Cast all parameters but those of layer norms to `dtype`."""

    def cast(path, x):
        is_norm = any("norm" in jax.tree_util.keystr((key,)) for key in path)
        return x if is_norm else x.astype(dtype)

    return jax.tree_util.tree_map_with_path(cast, params)
