"""A pretrained model for use: text in, vectors or filled masks out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bert_jax.config import BertConfig, PretrainConfig, read_json
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import ConfigError
from bert_jax.models.bert import BertForPreTraining
from bert_jax.models.functional import build
from bert_jax.nn.layout import row_layout
from bert_jax.training.store import load_params

MASK = "[MASK]"


class PretrainedBert:
    """A pretrained BERT, its tokenizer and its configuration.

    Args:
        config: the model's shape.
        params: its parameters, as `BertForPreTraining` has them.
        tokenizer: what it was trained with.

    Example:
        >>> bert = bert_jax.load("runs/demo")
        >>> vectors = bert.encode(["A first text.", "And another one."])
        >>> vectors[0].shape  # tokens, [CLS] and [SEP] included, x hidden_size
        (6, 128)
    """

    def __init__(self, config: BertConfig, params: dict[str, Any], tokenizer: Tokenizer):
        self.config, self.params, self.tokenizer = config, params, tokenizer
        self.bind: Callable[[Any], BertForPreTraining] = build(config)[1]
        self._hidden = jax.jit(self._compute_hidden)
        self._logits = jax.jit(self._compute_logits)

    @property
    def model(self) -> BertForPreTraining:
        """The Flax module with its parameters."""
        return self.bind(self.params)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> list[Float[np.ndarray, "T D"]]:
        """Contextual vectors of every token of every text, [CLS] and [SEP] included.

        Texts that are longer than the model's positions are cut off there. What a text gives does
        not depend on the other texts.

        Returns:
            For each text an array [tokens, hidden_size]; row 0 is [CLS].
        """
        rows = [self._add_special(ids) for ids in self.tokenizer.encode_batch(list(texts))]
        return self._by_length(rows, batch_size, lambda t, n: self._hidden(self.params, t, n))

    def fill_mask(self, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable tokens for each [MASK] of a text, with their probabilities.

        Raises:
            ConfigError: the text has no [MASK].
        """
        parts = text.split(MASK)
        if len(parts) == 1:
            raise ConfigError(f"no {MASK} in {text!r}", f"a text with {MASK}", f"write {MASK}")
        ids: list[int] = self.tokenizer.encode(parts[0])
        for part in parts[1:]:
            ids += [self.tokenizer.mask_id, *self.tokenizer.encode(part)]
        row = self._add_special(ids)
        (logits,) = self._by_length([row], 1, lambda t, n: self._logits(self.params, t, n))
        probabilities = jax.nn.softmax(logits[np.array(row) == self.tokenizer.mask_id])
        filled = []
        for of_mask in np.asarray(probabilities):
            best = np.argsort(-of_mask)[:top_k]
            words = self.tokenizer.tokens(best.tolist())
            filled.append([(word, float(of_mask[i])) for word, i in zip(words, best, strict=True)])
        return filled

    def _add_special(self, ids: list[int]) -> list[int]:
        room = self.config.max_position_embeddings - 2
        return [self.tokenizer.cls_id, *ids[:room], self.tokenizer.sep_id]

    def _by_length(
        self, rows: list[list[int]], batch_size: int, compute: Callable[..., Array]
    ) -> list[np.ndarray]:
        """Runs rows in batches of similar length; few shapes, so few compilations."""
        results: list[np.ndarray] = [np.empty(0)] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            longest = len(rows[chosen[-1]])
            length = min(-(-longest // 32) * 32, self.config.max_position_embeddings)
            tokens = np.full((batch_size, max(length, longest)), self.tokenizer.pad_id, np.int32)
            lengths = np.zeros((batch_size, 1, 2), np.int32)
            for place, i in enumerate(chosen):
                tokens[place, : len(rows[i])] = rows[i]
                lengths[place, 0, 0] = len(rows[i])
            batch = np.asarray(compute(tokens, lengths))
            for place, i in enumerate(chosen):
                results[i] = batch[place, : len(rows[i])]
        return results

    def _compute_hidden(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B 1 2"]
    ) -> Float[Array, "B T D"]:
        return self.bind(params).bert(tokens, row_layout(lengths, tokens.shape[1]))

    def _compute_logits(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B 1 2"]
    ) -> Float[Array, "B T V"]:
        everywhere = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        layout = row_layout(lengths, tokens.shape[1])
        return self.bind(params)(tokens, layout, everywhere)[0]


def load(directory: str | Path, which: str = "newest") -> PretrainedBert:
    """Loads a pretrained model from a run's directory.

    Args:
        directory: what pretrain.py wrote, for example `runs/demo`.
        which: "newest" checkpoint, or "best" by its held-out loss.

    Raises:
        ConfigError: the directory is not a run's, or its tokenizer is not the run's own.
        CheckpointError: no checkpoint is good.
    """
    directory = Path(directory)
    config: PretrainConfig = read_json(PretrainConfig, directory / "config.json")
    tokenizer = Tokenizer.load(directory / "tokenizer")
    params, _, identity = load_params(directory, which)
    if tokenizer.sha256 != identity.get("tokenizer"):
        raise ConfigError(
            f"{directory / 'tokenizer'} has hash {tokenizer.sha256}",
            f"{identity.get('tokenizer')}, with which the model was trained",
            "restore the tokenizer's files",
        )
    return PretrainedBert(config.model, params, tokenizer)
