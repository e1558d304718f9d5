"""Texts and pairs of texts into a number: semantic similarity (STS-B, KorSTS)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.tasks.task import Prediction, Rated, Say, is_text
from bert_jax.tasks.texts import TextExample, encode_texts, parse_text, read_texts
from bert_jax.training.metrics import correlations
from bert_jax.training.step import Batch


@dataclasses.dataclass(frozen=True)
class Regression:
    """One number for each text or pair: pooled [CLS] → dropout → dense, squared error."""

    labels: tuple[str, ...] = ("score",)
    kind: ClassVar[str] = "regression"
    architecture: ClassVar[str] = "BertForSequenceClassification"
    metric: ClassVar[str] = "spearman"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; of the error, lower is better."""
        return {"pearson": 1, "spearman": 1, "mean_squared_error": -1}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
    ) -> list[TextExample]:
        """The scored texts of a table."""
        return read_texts(source, split, config, rejects, say)

    @classmethod
    def from_examples(cls, examples: Sequence[TextExample], config: FinetuneConfig) -> "Regression":
        """There is one output, whatever the data."""
        return cls()

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "Regression":
        """The task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TextExample], rejects: Rejects) -> list[TextExample]:
        """Rejects scores that are no finite numbers."""
        accepted = []
        for example in examples:
            if _is_number(example.label):
                accepted.append(example)
            else:
                reason = f"score {example.label!r} is no number"
                rejects.add(example.place, reason, example._asdict())
        return accepted

    def encode(
        self, examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Each example, with its score."""
        encoded = encode_texts(examples, tokenizer, max_length)
        return [
            text
            if example.label is None
            else text._replace(targets={"score": float(example.label)})
            for text, example in zip(encoded, examples, strict=True)
        ]

    def num_targets(self, batch: Batch) -> Array:
        """Texts that are there."""
        return is_text(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Σ (score − output)²."""
        return (is_text(batch) * jnp.square(outputs[..., 0] - batch["score"])).sum()

    def decode(
        self,
        examples: Sequence[TextExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """The number."""
        return [{"score": float(output[0, 0])} for output in outputs]

    def score(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Pearson's and Spearman's correlation, and the mean squared error."""
        gold = np.array([float(str(example.label)) for example in examples])
        guessed = np.array([p["score"] for p in predictions])
        error = {"mean_squared_error": float(np.square(gold - guessed).mean())}
        return correlations(gold, guessed) | error

    def rate(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> list[Rated]:
        """1 − the error over the widest gap between two scores, at least 0."""
        gold = [float(str(example.label)) for example in examples]
        width = max(gold) - min(gold) or 1.0
        return [
            Rated(
                example.text if example.text_b is None else f"{example.text} | {example.text_b}",
                f"{wanted:.2f}",
                f"{p['score']:.2f}",
                max(0.0, 1.0 - abs(wanted - p["score"]) / width),
                math.nan,
            )
            for example, wanted, p in zip(examples, gold, predictions, strict=True)
        ]

    def classes(self, examples: Sequence[TextExample], predictions: Sequence[Prediction]) -> None:
        """There are none."""

    def parse(self, values: dict[str, Any], place: str) -> TextExample:
        """A text, or a pair."""
        return parse_text(values, place)


def _is_number(label: str | None) -> bool:
    try:
        return math.isfinite(float(str(label)))
    except ValueError:
        return False
