"""Classification of texts and pairs: sentiment, entailment (Devlin et al. 2019, section 4.1)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample, encode_texts, parse_text, read_text_examples
from bert_jax.models.architectures import Head
from bert_jax.tasks.class_weights import class_weights
from bert_jax.tasks.losses import cross_entropy
from bert_jax.tasks.metrics import classification_scores, confusion_counts, scores_by_class
from bert_jax.tasks.task import Comparison, Confidences, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch

MAX_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Classification:
    """One class per text or pair: pooled [CLS] → dropout → dense → softmax."""

    labels: tuple[str, ...]
    weights: tuple[float, ...] = ()
    """Weight of each class in the loss; empty: 1 for all."""
    kind: ClassVar[str] = "classification"
    head: ClassVar[Head] = "ForSequenceClassification"
    problem_type: ClassVar[str | None] = None
    metric: ClassVar[str] = "accuracy"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; F1 of the second class only if there are two."""
        return {"accuracy": 1, "f1_macro": 1, "mcc": 1} | (
            {"f1": 1} if len(self.labels) == 2 else {}
        )

    @property
    def options(self) -> dict[str, Any]:
        """No options."""
        return {}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[TextExample]:
        """Read the labelled texts of a table.

        Raises:
            DataError: no row has a text and one label.
        """
        examples = read_text_examples(source, split, config, rejects, log)
        if not examples:
            raise DataError(
                f"{source}: no row can be used: " + "; ".join(rejects.summary())[:300],
                "rows with a text and one label",
                "check the columns; if a row has a list of labels, pass --task multilabel",
            )
        return examples

    @classmethod
    def from_examples(
        cls, examples: Sequence[TextExample], config: FinetuneConfig
    ) -> "Classification":
        """Take the configured labels, or all that occur, sorted (numbers by value)."""
        occurring = {str(example.label) for example in examples}
        labels = config.labels or tuple(sorted(occurring, key=numbers_first))
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
        in_training = [str(example.label) for example in examples]
        return cls(labels, class_weights(config.class_weights, labels, in_training))

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "Classification":
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
        """Return the number of texts or, if classes have weights, the sum of the texts' weights."""
        return self._weights(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ cross-entropy over the texts, each times the weight of its class."""
        return (self._weights(batch) * cross_entropy(outputs, batch["label"])).sum()

    def _weights(self, batch: Batch) -> Array:
        """Return the weight of each text, 0 where there is none: float32 [B, J]."""
        mask = text_mask(batch)
        return mask * jnp.asarray(self.weights)[batch["label"]] if self.weights else mask

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

    def tune(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> "Classification":
        """Return the task: there is nothing to choose."""
        return self

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

    def by_label(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and support of each class."""
        return scores_by_class(self.labels, *self.class_indices(examples, predictions))

    def confidences(
        self, examples: Sequence[TextExample], predictions: Sequence[Prediction]
    ) -> Confidences:
        """Return the probability of each text's class, and whether it is right."""
        correct = [p["label"] == str(x.label) for x, p in zip(examples, predictions, strict=True)]
        probability = np.array([p["probability"] for p in predictions])
        return Confidences("the class of each text", probability, np.array(correct))

    def parse(self, values: dict[str, Any], place: str) -> TextExample:
        """Return a text, or a pair."""
        return parse_text(values, place)


def numbers_first(label: str) -> tuple[float, str]:
    """Sorting key: numbers by value, then everything else by its text."""
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf), label
