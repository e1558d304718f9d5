"""Texts and pairs of texts into classes: sentiment, entailment (Devlin et al. 2019, 4.1)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import DataError
from bert_jax.tasks.task import Prediction, Rated, Say, is_text
from bert_jax.tasks.texts import TextExample, encode_texts, parse_text, read_texts
from bert_jax.training.losses import cross_entropy
from bert_jax.training.metrics import classification_scores, confusion
from bert_jax.training.step import Batch

MAX_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Classification:
    """One class for each text or pair: pooled [CLS] → dropout → dense → softmax."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    architecture: ClassVar[str] = "BertForSequenceClassification"
    metric: ClassVar[str] = "accuracy"

    @property
    def metrics(self) -> dict[str, int]:
        """F1 of the second class only where there are two."""
        return {"accuracy": 1, "f1_macro": 1, "mcc": 1} | (
            {"f1": 1} if len(self.labels) == 2 else {}
        )

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
    ) -> list[TextExample]:
        """The labelled texts of a table."""
        return read_texts(source, split, config, rejects, say)

    @classmethod
    def from_examples(
        cls, examples: Sequence[TextExample], config: FinetuneConfig
    ) -> "Classification":
        """Takes the labels that were given, or all that occur, numbers in their own order."""
        found = {str(example.label) for example in examples}
        labels = config.labels or tuple(sorted(found, key=_natural))
        if len(labels) < 2 or len(found & set(labels)) < 2:
            raise DataError(
                f"{config.train}: its labels are {sorted(found)[:5]}",
                "at least two classes",
                "check the label column, or --labels",
            )
        if len(labels) > MAX_CLASSES:
            raise DataError(
                f"{config.train}: {len(labels):,} different labels, such as {labels[0]!r}",
                f"at most {MAX_CLASSES} classes",
                "name the label column with --columns.label, or take --task regression",
            )
        return cls(labels)

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "Classification":
        """The task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TextExample], rejects: Rejects) -> list[TextExample]:
        """Rejects labels that are none of the classes."""
        known, accepted = set(self.labels), []
        for example in examples:
            if example.label in known:
                accepted.append(example)
            else:
                reason = f"label {example.label!r} is none of {', '.join(self.labels[:8])}"
                rejects.add(example.place, reason, example._asdict())
        return accepted

    def encode(
        self, examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Each example, with its class as "label"."""
        number = {label: i for i, label in enumerate(self.labels)}
        encoded = encode_texts(examples, tokenizer, max_length)
        return [
            text
            if example.label is None
            else text._replace(targets={"label": number[example.label]})
            for text, example in zip(encoded, examples, strict=True)
        ]

    def num_targets(self, batch: Batch) -> Array:
        """Texts that are there."""
        return is_text(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Σ cross-entropy."""
        return (is_text(batch) * cross_entropy(outputs, batch["label"])).sum()

    def decode(
        self,
        examples: Sequence[TextExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """The best class, and the probability of each."""
        if not outputs:
            return []
        scores = np.stack([output[0] for output in outputs]).astype(np.float64)
        probabilities = scipy.special.softmax(scores, axis=-1)
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probability": float(row.max()),
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]

    def score(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Accuracy, macro F1 and Matthews' correlation; for two classes F1 of the second."""
        gold, guessed = self.classes(examples, predictions)
        counts = confusion(gold, guessed, len(self.labels))
        scores = classification_scores(counts)
        if len(self.labels) == 2:
            positive = counts[1, 1]
            scores["f1"] = float(2 * positive / max(counts[1].sum() + counts[:, 1].sum(), 1))
        return scores

    def rate(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> list[Rated]:
        """Right or wrong, with the probability of the best class."""
        return [
            Rated(
                example.text if example.text_b is None else f"{example.text} | {example.text_b}",
                str(example.label),
                p["label"],
                float(p["label"] == example.label),
                p["probability"],
            )
            for example, p in zip(examples, predictions, strict=True)
        ]

    def classes(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Classes of the examples."""
        number = {label: i for i, label in enumerate(self.labels)}
        gold = np.array([number[str(example.label)] for example in examples])
        return gold, np.array([number[p["label"]] for p in predictions])

    def parse(self, values: dict[str, Any], place: str) -> TextExample:
        """A text, or a pair."""
        return parse_text(values, place)


def _natural(label: str) -> tuple[float, str]:
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf), label
