"""Tagging of words: named entities (Devlin et al. 2019, section 5.3)."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import NO_LABEL, EncodedText
from bert_jax.labelled.conll import read_conll
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import WORDS, choose_column, read_table, table_format
from bert_jax.models.architectures import Head
from bert_jax.tasks.losses import cross_entropy
from bert_jax.tasks.metrics import are_entity_tags, entity_scores, scores_by_class
from bert_jax.tasks.task import Comparison, Confidences, LogFunction, Prediction
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch


class TagExample(NamedTuple):
    """The words of a sentence, and their tags; None without tags."""

    place: str
    """file:line."""
    words: tuple[str, ...]
    label: tuple[str, ...] | None = None
    spans: tuple[tuple[int, int], ...] | None = None
    """First character and last + 1 of each word in its text; None if a list of words was given."""


@dataclasses.dataclass(frozen=True)
class Tagging:
    """One tag per word, read off its first WordPiece: dropout → dense on every token."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "tagging"
    head: ClassVar[Head] = "ForTokenClassification"
    problem_type: ClassVar[str | None] = None
    metric: ClassVar[str] = "f1"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores, those of entities if the tags name any; higher is better."""
        of_entities = {"f1": 1, "precision": 1, "recall": 1}
        return {"accuracy": 1} | (of_entities if are_entity_tags(self.labels) else {})

    @property
    def options(self) -> dict[str, Any]:
        """No options."""
        return {}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[TagExample]:
        """Read a CoNLL file, or a table (JSONL, Parquet, TFDS) with lists of words and of tags.

        If labels are configured, a tag that is a number is the index of a label.
        """
        if not source.startswith("tfds:") and not table_format(source):
            sentences = read_conll(source, rejects)
            log(f"{source}: CoNLL; {len(sentences):,} sentences")
            return [TagExample(*sentence) for sentence in sentences]
        given = config.columns
        table = read_table(source, rejects, (), split, config.tfds_data_dir)
        words_column = choose_column(table, given.text, WORDS, "text")
        tags_column = choose_column(table, given.label, ("tags", "ner_tags", "labels"), "label")
        log(f"{source}: {table.description}; words {words_column!r}, tags {tags_column!r}")
        examples = []
        for place, values in table.records:
            words = _strings(values.get(str(words_column)))
            tags = _strings(values.get(str(tags_column)))
            if not words or not tags:
                rejects.add(place, "words or tags missing", values)
            elif len(words) != len(tags):
                rejects.add(place, f"{len(words)} words and {len(tags)} tags", values)
            else:
                examples.append(TagExample(place, words, _by_name(tags, config.labels)))
        return examples

    @classmethod
    def from_examples(cls, examples: Sequence[TagExample], config: FinetuneConfig) -> "Tagging":
        """Take the configured tags, or all that occur: "O" first, then by type."""
        occurring = {tag for example in examples for tag in example.label or ()}
        in_order = sorted(occurring, key=lambda tag: (tag != "O", tag[2:], tag))
        labels = config.labels or tuple(in_order)
        if len(labels) < 2:
            raise DataError(
                f"{config.train}: its tags are {sorted(occurring)}",
                "at least two tags",
                "check the last column, or --labels",
            )
        if config.metric != "accuracy" and not are_entity_tags(labels):
            raise DataError(
                f"{config.train}: its tags {', '.join(sorted(labels)[:8])} name no entities",
                "O, B-X and I-X (E-X, S-X), where X is a type, or bare B and I",
                "rename the tags; if they are numbers, give their names in order: --labels O B-PER "
                "I-PER …; or score words, not entities: --metric accuracy",
            )
        return cls(labels)

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "Tagging":
        """Return the task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TagExample], rejects: Rejects) -> list[TagExample]:
        """Reject sentences with an unknown tag."""
        known, accepted = set(self.labels), []
        for example in examples:
            unknown = [tag for tag in example.label or () if tag not in known]
            if unknown:
                reason = f"tag {unknown[0]!r} is not one of {', '.join(self.labels[:8])}"
                rejects.add(example.place, reason, " ".join(example.words))
            else:
                accepted.append(example)
        return accepted

    def encode(
        self, examples: Sequence[TagExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode sentences as sequences of whole words; a long one gives several, without loss."""
        tag_index = {tag: i for i, tag in enumerate(self.labels)}
        room = max_length - 2
        all_pieces = tokenizer.encode_batch(
            [f"{tokenizer.gap if i else ''}{w}" for e in examples for i, w in enumerate(e.words)]
        )
        all_words = ([*pieces[:room]] or [tokenizer.unk_id] for pieces in all_pieces)
        encoded = []
        for example_index, example in enumerate(examples):
            words = [next(all_words) for _ in example.words]
            for start, stop in _windows([len(pieces) for pieces in words], room):
                tokens, is_first, tags = [tokenizer.cls_id], [0], [NO_LABEL]
                for i in range(start, stop):
                    rest = len(words[i]) - 1
                    tokens += words[i]
                    is_first += [1, *[0] * rest]
                    if example.label is not None:
                        tags += [tag_index[example.label[i]], *[NO_LABEL] * rest]
                targets = {"is_first": [*is_first, 0]}
                if example.label is not None:
                    targets["tag"] = [*tags, NO_LABEL]
                tokens.append(tokenizer.sep_id)
                encoded.append(EncodedText(tokens, len(tokens), targets, example_index))
        return encoded

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of words: only their first pieces have tags."""
        return (batch["tag"] >= 0).sum().astype(jnp.float32)

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ cross-entropy over the first pieces of words."""
        weights = (batch["tag"] >= 0).astype(jnp.float32)
        return (weights * cross_entropy(outputs, jnp.maximum(batch["tag"], 0))).sum()

    def decode(
        self,
        examples: Sequence[TagExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Return the words, the most probable tag of each, and its probability.

        If a text was given, also "start" and "end" of each word in it, in characters.
        """
        tags: list[list[str]] = [[] for _ in examples]
        confidences: list[list[float]] = [[] for _ in examples]
        for text, output in zip(encoded, outputs, strict=True):
            is_first = np.array(text.targets["is_first"], bool)
            probabilities = scipy.special.softmax(output[is_first].astype(np.float64), axis=-1)
            tags[text.example] += [self.labels[i] for i in probabilities.argmax(-1)]
            confidences[text.example] += probabilities.max(-1).tolist()
        predictions: list[Prediction] = []
        for example, of_words, confidence in zip(examples, tags, confidences, strict=True):
            prediction: Prediction = {"words": list(example.words), "tags": of_words}
            prediction["probabilities"] = confidence
            if example.spans is not None:
                prediction["start"] = [start for start, _ in example.spans]
                prediction["end"] = [end for _, end in example.spans]
            predictions.append(prediction)
        return predictions

    def tune(self, examples: Sequence[TagExample], predictions: Sequence[Prediction]) -> "Tagging":
        """Return the task: there is nothing to choose."""
        return self

    def score(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Return accuracy over words and, if tags name entities, their precision, recall and F1."""
        gold = [list(example.label or ()) for example in examples]
        scores = entity_scores(gold, [p["tags"] for p in predictions])
        return {name: scores[name] for name in self.metrics}

    def compare(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return the share of right tags, with the probability of the least certain one."""
        return [
            Comparison(
                " ".join(example.words),
                " ".join(example.label or ()),
                " ".join(p["tags"]),
                float(
                    np.mean([a == b for a, b in zip(p["tags"], example.label or (), strict=True)])
                ),
                min(p["probabilities"]),
            )
            for example, p in zip(examples, predictions, strict=True)
        ]

    def class_indices(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the true and the predicted tag of every word."""
        index = {tag: i for i, tag in enumerate(self.labels)}
        gold = [index[tag] for example in examples for tag in example.label or ()]
        return np.array(gold), np.array([index[tag] for p in predictions for tag in p["tags"]])

    def by_label(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and support of each tag."""
        return scores_by_class(self.labels, *self.class_indices(examples, predictions))

    def confidences(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> Confidences:
        """Return the probability of each word's tag, and whether it is right."""
        gold, predicted = self.class_indices(examples, predictions)
        probability = [x for p in predictions for x in p["probabilities"]]
        return Confidences("the tag of each word", np.array(probability), gold == predicted)

    def parse(self, values: dict[str, Any], place: str) -> TagExample:
        """Return the words of a text, split at white space, or of a list."""
        given = values.get("words", values.get("tokens", values.get("text")))
        spans = None
        if isinstance(given, str):
            spans = tuple(word.span() for word in re.finditer(r"\S+", given))
        words = _strings(given)
        if not words:
            raise DataError(
                f"{place}: no words in {str(values)[:80]}",
                'a text under "text", or a list under "words"',
                "rename the column or key",
            )
        return TagExample(place, words, None, spans)


def _strings(value: Any) -> tuple[str, ...]:
    """Return the items of a list (texts, numbers or bytes) as texts; () if it is not a list."""
    if isinstance(value, str):
        return tuple(value.split())
    try:
        items = list(value)
    except TypeError:
        return ()
    texts = (item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in items)
    return tuple(str(item) for item in texts)


def _by_name(tags: tuple[str, ...], labels: Sequence[str]) -> tuple[str, ...]:
    """Replace tags that are indices of labels by these labels."""
    names = {str(number): label for number, label in enumerate(labels)}
    return tuple(tag if tag in labels else names.get(tag, tag) for tag in tags)


def _windows(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Split words into consecutive spans of at most `room` pieces each; return at least one."""
    windows, start, used = [], 0, 0
    for index, size in enumerate(sizes):
        if used + size > room:
            windows.append((start, index))
            start, used = index, 0
        used += size
    return [*windows, (start, len(sizes))]
