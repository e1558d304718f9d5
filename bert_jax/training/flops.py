"""Arithmetic and memory of pretraining, reckoned from the configuration alone."""

import dataclasses

from bert_jax.config import BertConfig

# Dense bfloat16 peak of one device in FLOP/s, from the vendors' data sheets.
PEAKS = {
    "v100": 125e12,
    "a100": 312e12,
    "h100": 989e12,
    "h200": 989e12,
    "b200": 2250e12,
    "tpu v2": 45e12,
    "tpu v3": 123e12,
    "tpu v4": 275e12,
    "tpu v5 lite": 197e12,
    "tpu v5e": 197e12,
    "tpu v5p": 459e12,
    "tpu v5": 459e12,
    "tpu v6 lite": 918e12,
    "tpu v6e": 918e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak of a device in FLOP/s by `jax.devices()[0].device_kind`; None where it is not known.

    TPU v2 and v3 are counted by chip, and JAX shows two devices on each chip there.
    """
    kind = device_kind.lower()
    known = [name for name in PEAKS if name in kind]
    return PEAKS[max(known, key=len)] if known else None


def flops_per_token(config: BertConfig, attended: float, predicted: float) -> float:
    """Floating-point operations of one training step for each token of text.

    3 · [2(L - 1 + p)(4D² + 2DF) + 4(1 - p)D² + 4(L - 1 + p)DS + p(2D² + 2DV)]: one forward pass and
    twice as much backward. The last layer counts where it is read; keys and values, 4D², are needed
    of every token there. Without this, as it is usually reckoned, `base` has 6 % more.
    Multiplications and additions both count; recomputation, embeddings, norms and softmax do not.

    Args:
        config: the model; vocab_size must be set.
        attended: S, mean number of tokens that a token looks at: its sequence's length.
        predicted: p, share of the tokens that are projected onto the vocabulary; [CLS] is left out.
    """
    width, forward = config.hidden_size, config.intermediate_size
    layers = config.num_hidden_layers - 1 + predicted
    assert config.vocab_size is not None
    linear = 2 * layers * (4 * width**2 + 2 * width * forward) + 4 * (1 - predicted) * width**2
    attention = 4 * layers * width * attended
    head = predicted * (2 * width**2 + 2 * width * config.vocab_size)
    return 3 * (linear + attention + head)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device while it trains."""

    parameters: int
    """float32."""
    optimizer: int
    """Two moments in float32."""
    gradients: int
    """float32; twice that with accumulation."""
    activations: int
    """What the forward pass keeps for the backward pass."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.optimizer + self.gradients + self.activations


def memory_estimate(
    config: BertConfig,
    num_parameters: int,
    tokens: int,
    length: int,
    *,
    dtype: str,
    remat: bool,
    fused_attention: bool,
) -> Memory:
    """Estimates what training needs on one device, within about a third.

    Assumes: nothing is kept twice; a layer keeps, for each token, its input, q, k, v, the attention
    output, both norms' inputs and the feed-forward's hidden values before and after activation, in
    `dtype`, and its dropout masks as bytes; without fused attention also the probabilities before
    and after dropout; with remat only its input, and one layer at a time the rest. The logits of
    15 % of the tokens are kept twice in float32.

    Args:
        config: the model.
        num_parameters: from `count_parameters`.
        tokens: tokens that the device works on at once (rows of one accumulation step x T).
        length: T.
        dtype: type of activations.
        remat: layers are recomputed.
        fused_attention: cuDNN's kernel, which keeps no probabilities.
    """
    width, forward = config.hidden_size, config.intermediate_size
    size = 2 if dtype == "bfloat16" else 4
    layer = size * (8 * width + 2 * forward) + 2 * width
    if not fused_attention:
        layer += (2 * size + 1) * config.num_attention_heads * length
    layers = config.num_hidden_layers
    kept = layers * size * width + layer if remat else layers * layer
    logits = int(0.15 * 8 * (config.vocab_size or 0))
    return Memory(
        parameters=4 * num_parameters,
        optimizer=8 * num_parameters,
        gradients=4 * num_parameters,
        activations=tokens * (kept + logits),
    )
