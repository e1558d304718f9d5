"""Regression of a number from texts and pairs: semantic similarity (STS-B, KorSTS)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample, encode_texts, parse_text, read_text_examples
from bert_jax.models.architectures import Head
from bert_jax.tasks.metrics import correlations
from bert_jax.tasks.task import Comparison, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch

MAX_SCORE = 1e15  # larger ones have no square in float32


@dataclasses.dataclass(frozen=True)
class Regression:
    """One number per text or pair: pooled [CLS] → dropout → dense, squared error."""

    labels: tuple[str, ...] = ("score",)
    kind: ClassVar[str] = "regression"
    head: ClassVar[Head] = "ForSequenceClassification"
    problem_type: ClassVar[str | None] = "regression"
    metric: ClassVar[str] = "spearman"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; a lower error is better."""
        return {"pearson": 1, "spearman": 1, "mean_squared_error": -1}

    @property
    def options(self) -> dict[str, Any]:
        """No options."""
        return {}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[TextExample]:
        """Read the scored texts of a table."""
        return read_text_examples(source, split, config, rejects, log)

    @classmethod
    def from_examples(cls, examples: Sequence[TextExample], config: FinetuneConfig) -> "Regression":
        """Return the task; it has one output, whatever the data."""
        return cls()

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "Regression":
        """Return the task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TextExample], rejects: Rejects) -> list[TextExample]:
        """Reject examples whose score is not a number of at most MAX_SCORE."""
        accepted = []
        for example in examples:
            if _is_number(example.label):
                accepted.append(example)
            else:
                reason = f"score {example.label!r} is not a number, or is too large"
                rejects.add(example.place, reason, example._asdict())
        return accepted

    def encode(
        self, examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode each example, with its score as "score"."""
        encoded = encode_texts(examples, tokenizer, max_length)
        return [
            text
            if example.label is None
            else text._replace(targets={"score": float(example.label)})
            for text, example in zip(encoded, examples, strict=True)
        ]

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of texts."""
        return text_mask(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ (score − output)² over the texts."""
        return (text_mask(batch) * jnp.square(outputs[..., 0] - batch["score"])).sum()

    def decode(
        self,
        examples: Sequence[TextExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Return the number."""
        return [{"score": float(output[0, 0])} for output in outputs]

    def tune(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> "Regression":
        """Return the task: there is nothing to choose."""
        return self

    def score(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Return Pearson's and Spearman's correlation, and the mean squared error."""
        gold = np.array([float(str(example.label)) for example in examples])
        predicted = np.array([p["score"] for p in predictions])
        error = {"mean_squared_error": float(np.square(gold - predicted).mean())}
        return correlations(gold, predicted) | error

    def compare(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return 1 − error / (range of the true scores), at least 0, as correctness."""
        gold = [float(str(example.label)) for example in examples]
        score_range = max(gold) - min(gold) or 1.0
        return [
            Comparison(
                example.text if example.text_b is None else f"{example.text} | {example.text_b}",
                f"{score:.2f}",
                f"{p['score']:.2f}",
                max(0.0, 1.0 - abs(score - p["score"]) / score_range),
                math.nan,
            )
            for example, score, p in zip(examples, gold, predictions, strict=True)
        ]

    def class_indices(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> None:
        """Return None: there are no classes."""

    def by_label(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return {}: there are no labels."""
        return {}

    def confidences(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> None:
        """Return None: a number has no probability."""

    def parse(self, values: dict[str, Any], place: str) -> TextExample:
        """Return a text, or a pair."""
        return parse_text(values, place)


def _is_number(label: str | None) -> bool:
    try:
        return abs(float(str(label))) <= MAX_SCORE
    except ValueError:
        return False
