"""Floating-point operations of pretraining, and the share of the devices' peak that it reaches."""

from collections.abc import Callable

import jax

from bert_jax.config import EncoderConfig, PretrainConfig, phase_at, phase_spans

# Peak dense bfloat16 FLOP/s of one device, from the vendors' data sheets.
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
    """Return the peak FLOP/s of a device kind, as `jax.devices()[0].device_kind`; None if unknown.

    The numbers of TPU v2 and v3 are per chip, on which JAX shows two devices.
    """
    kind = device_kind.lower()
    known = [name for name in PEAKS if name in kind]
    return PEAKS[max(known, key=len)] if known else None


def flops_per_token(config: EncoderConfig, attended: float, predicted: float) -> float:
    """Return the floating-point operations of one training step per token of text.

    They are three times those of one forward pass (`forward_flops` of each configuration), because
    the backward pass costs twice as much. The last layer counts only for the tokens at which its
    output is used, but its keys and values, 4D², count for every token. The usual estimate, which
    counts the whole last layer, is 6 % higher for `base`. Multiplications and additions both count;
    recomputation, embeddings, norms and softmax do not.

    Args:
        config: the model; vocab_size must be set.
        attended: S, mean number of tokens that a token attends to: its sequence's length.
        predicted: p, share of the tokens that are projected onto the vocabulary, without [CLS].
    """
    return 3 * config.forward_flops(attended, predicted)


def add_throughput(
    config: PretrainConfig, num_devices: int
) -> Callable[[int, dict[str, float]], dict[str, float]]:
    """Build `fit`'s `add_metrics` that adds tokens per second and, on known devices, MFU."""
    peak = peak_flops(jax.devices()[0].device_kind)

    def add(step: int, values: dict[str, float]) -> dict[str, float]:
        rate = values.get("steps_per_second")
        if rate and "tokens_per_row" in values:
            phase = phase_at(phase_spans(config), step)
            tokens = rate * phase.batch_size * values["tokens_per_row"]
            values = values | {"tokens_per_second": tokens}
            if peak:
                # Tokens of packed rows attend to fewer than T tokens: T is an upper bound.
                masked = config.masking.at(step - 1, config.loop.steps).rate
                flops = flops_per_token(config.model, phase.length, masked)
                values["mfu"] = tokens * flops / (peak * num_devices)
        return values

    return add
