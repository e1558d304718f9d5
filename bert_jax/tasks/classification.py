"""Classification of texts and pairs: sentiment, entailment (Devlin et al. 2019, section 4.1)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample, encode_texts, parse_text, read_text_examples
from bert_jax.tasks.losses import cross_entropy
from bert_jax.tasks.metrics import classification_scores, confusion_counts
from bert_jax.tasks.task import Comparison, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch

MAX_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Classification:
    """One class per text or pair: pooled [CLS] → dropout → dense → softmax."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    architecture: ClassVar[str] = "BertForSequenceClassification"
    metric: ClassVar[str] = "accuracy"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; F1 of the second class only if there are two."""
        return {"accuracy": 1, "f1_macro": 1, "mcc": 1} | (
            {"f1": 1} if len(self.labels) == 2 else {}
        )

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[TextExample]:
        """Read the labelled texts of a table."""
        return read_text_examples(source, split, config, rejects, log)

    @classmethod
    def from_examples(
        cls, examples: Sequence[TextExample], config: FinetuneConfig
    ) -> "Classification":
        """Take the configured labels, or all that occur, sorted (numbers by value)."""
        occurring = {str(example.label) for example in examples}
        labels = config.labels or tuple(sorted(occurring, key=_numbers_first))
        if len(labels) < 2 or len(occurring & set(labels)) < 2:
            raise DataError(
                f"{config.train}: its labels are {sorted(occurring)[:5]}",
                "at least two classes",
                "check the label column, or --labels",
            )
        if len(labels) > MAX_CLASSES:
            raise DataError(
                f"{config.train}: {len(labels):,} different labels, such as {labels[0]!r}",
                f"at most {MAX_CLASSES} classes",
                "name the label column with --columns.label, or use --task regression",
            )
        return cls(labels)

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "Classification":
        """Return the task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TextExample], rejects: Rejects) -> list[TextExample]:
        """Reject examples whose label is not one of the classes."""
        known, accepted = set(self.labels), []
        for example in examples:
            if example.label in known:
                accepted.append(example)
            else:
                reason = f"label {example.label!r} is not one of {', '.join(self.labels[:8])}"
                rejects.add(example.place, reason, example._asdict())
        return accepted

    def encode(
        self, examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode each example, with the index of its class as "label"."""
        index = {label: i for i, label in enumerate(self.labels)}
        encoded = encode_texts(examples, tokenizer, max_length)
        return [
            text
            if example.label is None
            else text._replace(targets={"label": index[example.label]})
            for text, example in zip(encoded, examples, strict=True)
        ]

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of texts."""
        return text_mask(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ cross-entropy over the texts.

        Class weights would multiply each text's term, here and in `num_targets`.
        """
        return (text_mask(batch) * cross_entropy(outputs, batch["label"])).sum()

    def decode(
        self,
        examples: Sequence[TextExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Return the most probable class, and the probability of each."""
        if not outputs:
            return []
        logits = np.stack([output[0] for output in outputs]).astype(np.float64)
        probabilities = scipy.special.softmax(logits, axis=-1)
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
        """Return accuracy, macro F1 and Matthews' correlation; of two classes, F1 of the second."""
        gold, predicted = self.class_indices(examples, predictions)
        counts = confusion_counts(gold, predicted, len(self.labels))
        scores = classification_scores(counts)
        if len(self.labels) == 2:
            true_positives = counts[1, 1]
            scores["f1"] = float(2 * true_positives / max(counts[1].sum() + counts[:, 1].sum(), 1))
        return scores

    def compare(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return right or wrong, with the probability of the predicted class."""
        return [
            Comparison(
                example.text if example.text_b is None else f"{example.text} | {example.text_b}",
                str(example.label),
                p["label"],
                float(p["label"] == example.label),
                p["probability"],
            )
            for example, p in zip(examples, predictions, strict=True)
        ]

    def class_indices(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the true and the predicted class of each example."""
        index = {label: i for i, label in enumerate(self.labels)}
        gold = np.array([index[str(example.label)] for example in examples])
        return gold, np.array([index[p["label"]] for p in predictions])

    def parse(self, values: dict[str, Any], place: str) -> TextExample:
        """Return a text, or a pair."""
        return parse_text(values, place)


def _numbers_first(label: str) -> tuple[float, str]:
    """Sorting key: numbers by value, then everything else by its text."""
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf), label
