"""Classification of texts and pairs with any number of labels each: topics, emotions."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.multilabel import MultiLabelExample, read_multilabel_examples
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample, encode_texts, parse_text
from bert_jax.models.architectures import Head
from bert_jax.tasks.classification import MAX_CLASSES, numbers_first
from bert_jax.tasks.losses import binary_cross_entropy
from bert_jax.tasks.multilabel_metrics import (
    DEFAULT_THRESHOLD,
    choose_threshold,
    label_scores,
    multilabel_scores,
)
from bert_jax.tasks.task import Comparison, Confidences, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch


@dataclasses.dataclass(frozen=True)
class MultiLabel:
    """Any number of labels per text or pair: pooled [CLS] → dropout → dense → a sigmoid each."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    """Probability from which each label is predicted; empty: 0.5 for all."""
    kind: ClassVar[str] = "multilabel"
    head: ClassVar[Head] = "ForSequenceClassification"
    problem_type: ClassVar[str | None] = "multi_label_classification"
    metric: ClassVar[str] = "f1_micro"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; higher is better."""
        return {"f1_micro": 1, "f1_macro": 1, "mean_average_precision": 1, "exact_match": 1}

    @property
    def options(self) -> dict[str, Any]:
        """The thresholds, if they were chosen."""
        return {"thresholds": list(self.thresholds)} if self.thresholds else {}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[MultiLabelExample]:
        """Read the texts of a table with their labels."""
        return read_multilabel_examples(source, split, config, rejects, log)

    @classmethod
    def from_examples(
        cls, examples: Sequence[MultiLabelExample], config: FinetuneConfig
    ) -> "MultiLabel":
        """Take the configured labels, or all that occur, sorted (numbers by value)."""
        occurring = {label for example in examples for label in example.label or ()}
        labels = config.labels or tuple(sorted(occurring, key=numbers_first))
        if not occurring & set(labels):
            raise DataError(
                f"{config.train}: none of its texts has {'such ' if occurring else ''}a label",
                f"one of {', '.join(labels[:8])}" if labels else "at least one label",
                "check the label column, or --labels",
            )
        if len(labels) > MAX_CLASSES:
            raise DataError(
                f"{config.train}: {len(labels):,} different labels, such as {labels[0]!r}",
                f"at most {MAX_CLASSES} labels",
                "name the label column with --columns.label, or the labels to learn with --labels",
            )
        return cls(labels)

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "MultiLabel":
        """Return the task of a saved model."""
        thresholds = (options or {}).get("thresholds", [])
        is_valid = isinstance(thresholds, list) and len(thresholds) in (0, len(labels))
        if not is_valid or not all(
            isinstance(x, int | float) and math.isfinite(x) for x in thresholds
        ):
            raise ConfigError(
                f"the model's thresholds are {str(thresholds)[:80]}",
                f"a number for each of its {len(labels)} labels",
                "restore bert_jax.json",
            )
        return cls(labels, tuple(float(x) for x in thresholds))

    def accept(
        self, examples: Sequence[MultiLabelExample], rejects: Rejects
    ) -> list[MultiLabelExample]:
        """Reject examples with an unknown label."""
        known, accepted = set(self.labels), []
        for example in examples:
            unknown = [label for label in example.label or () if label not in known]
            if unknown:
                reason = f"label {unknown[0]!r} is not one of {', '.join(self.labels[:8])}"
                rejects.add(example.place, reason, example._asdict())
            else:
                accepted.append(example)
        return accepted

    def encode(
        self, examples: Sequence[MultiLabelExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode each example, with a 1 for each of its labels, else 0, as "labels"."""
        texts = [TextExample(example.place, example.text, example.text_b) for example in examples]
        return [
            text
            if example.label is None
            else text._replace(targets={"labels": self._indicators(example.label)})
            for text, example in zip(
                encode_texts(texts, tokenizer, max_length), examples, strict=True
            )
        ]

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of texts times the number of labels."""
        return text_mask(batch).sum() * len(self.labels)

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ binary cross-entropy over the labels of the texts."""
        losses_BJC = binary_cross_entropy(outputs, batch["labels"])
        return (text_mask(batch) * losses_BJC.sum(axis=-1)).sum()

    def decode(
        self,
        examples: Sequence[MultiLabelExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Return the labels whose probability reaches their threshold, and all probabilities."""
        thresholds = self.thresholds or (DEFAULT_THRESHOLD,) * len(self.labels)
        predictions: list[Prediction] = []
        for output in outputs:
            row = scipy.special.expit(output[0].astype(np.float64)).tolist()
            above = [p >= threshold for p, threshold in zip(row, thresholds, strict=True)]
            predictions.append(
                {
                    "labels": [x for x, applies in zip(self.labels, above, strict=True) if applies],
                    "probabilities": dict(zip(self.labels, row, strict=True)),
                }
            )
        return predictions

    def tune(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> "MultiLabel":
        """Choose the threshold of each label that has the best F1 on held-out data."""
        gold, _, probabilities = self._matrices(examples, predictions)
        thresholds = map(choose_threshold, gold.T, probabilities.T)
        return dataclasses.replace(self, thresholds=tuple(thresholds))

    def score(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Return micro and macro F1, mean average precision, and the share without an error."""
        return multilabel_scores(*self._matrices(examples, predictions))

    def compare(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return the share of labels that are right, with the least certain one's probability."""
        gold, predicted, probabilities = self._matrices(examples, predictions)
        shares = (gold == predicted).mean(axis=1).tolist()
        certainty = np.where(predicted, probabilities, 1 - probabilities).min(axis=1).tolist()
        return [
            Comparison(
                example.text if example.text_b is None else f"{example.text} | {example.text_b}",
                ", ".join(x for x in self.labels if x in (example.label or ())),
                ", ".join(p["labels"]),
                *numbers,
            )
            for example, p, *numbers in zip(examples, predictions, shares, certainty, strict=True)
        ]

    def class_indices(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> None:
        """Return None: a text has no single class."""

    def by_label(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1, average precision, support and threshold of each label."""
        scores = label_scores(*self._matrices(examples, predictions))
        scores["threshold"] = np.array(self.thresholds or [DEFAULT_THRESHOLD] * len(self.labels))
        return {
            label: {name: float(values[i]) for name, values in scores.items()}
            for i, label in enumerate(self.labels)
        }

    def confidences(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> Confidences:
        """Return the probability of each label of each text, and whether the label applies."""
        gold, _, probabilities = self._matrices(examples, predictions)
        return Confidences("each label of each text", probabilities.ravel(), gold.ravel())

    def parse(self, values: dict[str, Any], place: str) -> MultiLabelExample:
        """Return a text, or a pair."""
        return MultiLabelExample(*parse_text(values, place)[:3])

    def _indicators(self, labels: Sequence[str]) -> np.ndarray:
        return np.array([label in labels for label in self.labels], np.float32)

    def _matrices(
        self, examples: Sequence[MultiLabelExample], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which labels apply and which are predicted, and their probabilities, [N, C]."""
        shape = len(examples), len(self.labels)
        index = {label: i for i, label in enumerate(self.labels)}
        gold, predicted = np.zeros(shape, bool), np.zeros(shape, bool)
        for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
            gold[row, [index[label] for label in example.label or ()]] = True
            predicted[row, [index[label] for label in prediction["labels"]]] = True
        probabilities = np.array([list(p["probabilities"].values()) for p in predictions])
        return gold, predicted, probabilities.reshape(shape)
