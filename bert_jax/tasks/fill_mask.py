"""Filling [MASK]s by the masked-LM head of a pretrained model, without fine-tuning."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bert_jax.errors import ConfigError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.texts import encode_single
from bert_jax.tasks.task import Prediction
from bert_jax.tokenizer.rules import MASK
from bert_jax.tokenizer.tokenizer import Tokenizer

TOKEN = np.dtype([("probability", np.float32), ("id", np.int32)])


def encode_masked(text: str, tokenizer: Tokenizer, max_length: int) -> EncodedText:
    """Encode a text with [MASK]s as [CLS] text [SEP], at most `max_length` tokens.

    Raises:
        ConfigError: no [MASK], or one beyond `max_length`.
    """
    ids = tokenizer.encode_masked(text)[0]
    num_masks = ids.count(tokenizer.mask_id)
    if not num_masks:
        raise ConfigError(f"no {MASK} in {text!r}", f"a text with {MASK}", f"write {MASK}")
    encoded = encode_single(ids, tokenizer, max_length)
    num_lost = num_masks - encoded.tokens.count(tokenizer.mask_id)
    if num_lost:
        raise ConfigError(
            f"{num_lost} of {num_masks} {MASK} beyond the model's positions: {text[:40]!r}",
            f"at most {max_length - 2} tokens up to the last {MASK}",
            "shorten the text before it",
        )
    return encoded


def mask_positions(tokens: Int[np.ndarray, "B T"], mask_id: int) -> Int[np.ndarray, "B P"]:
    """Return the positions of each row's [MASK]s, in order, then arbitrary ones up to P.

    P is the next power of 2, so that few shapes have to be compiled.
    """
    is_mask = tokens == mask_id
    size = 1 << int(is_mask.sum(axis=1).max() - 1).bit_length()
    return np.argsort(~is_mask, axis=1, kind="stable")[:, :size]


def decode_masks(outputs: Sequence[np.ndarray], tokenizer: Tokenizer) -> list[Prediction]:
    """Return for each text {"masks": [[{"token", "probability"}, …] of each [MASK], …]}.

    Args:
        outputs: for each text an array [its MASKs, top_k] of `TOKEN`.
        tokenizer: names the ids.
    """
    return [
        {
            "masks": [
                [
                    {"token": token, "probability": probability}
                    for token, probability in zip(
                        tokenizer.pieces(tokens["id"].tolist()),
                        tokens["probability"].tolist(),
                        strict=True,
                    )
                ]
                for tokens in masks
            ]
        }
        for masks in outputs
    ]
