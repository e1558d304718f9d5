"""A tag for each word: named entities (Devlin et al. 2019, section 5.3)."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import NO_LABEL, EncodedText
from bert_jax.data.conll import read_conll
from bert_jax.data.rejects import Rejects
from bert_jax.data.tables import choose_column, read_table
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import DataError
from bert_jax.tasks.task import Prediction, Rated, Say
from bert_jax.training.losses import cross_entropy
from bert_jax.training.metrics import are_of_entities, entity_scores
from bert_jax.training.step import Batch

TABLES = (".tsv", ".csv", ".jsonl", ".parquet")


class TagExample(NamedTuple):
    """The words of a sentence, and their tags; None where it has none."""

    place: str
    words: tuple[str, ...]
    label: tuple[str, ...] | None = None
    spans: tuple[tuple[int, int], ...] | None = None
    """First character and last + 1 of each word in the text; None where words were given."""


@dataclasses.dataclass(frozen=True)
class Tagging:
    """One tag for each word, read off its first piece: dropout → dense on every token."""

    labels: tuple[str, ...]
    kind: ClassVar[str] = "tagging"
    architecture: ClassVar[str] = "BertForTokenClassification"
    metric: ClassVar[str] = "f1"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores, of entities where the tags name any; higher is better."""
        of_entities = {"f1": 1, "precision": 1, "recall": 1}
        return {"accuracy": 1} | (of_entities if are_of_entities(self.labels) else {})

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
    ) -> list[TagExample]:
        """CoNLL, or JSONL, Parquet and TFDS with lists of words and of tags.

        A tag that is a number stands for the label with that number, where labels are given.
        """
        plain = source.removesuffix(".gz").removesuffix(".xz")
        if not source.startswith("tfds:") and not plain.endswith(TABLES):
            sentences = read_conll(source, rejects)
            say(f"{source}: CoNLL; {len(sentences):,} sentences")
            return [TagExample(*sentence) for sentence in sentences]
        given = config.columns
        table = read_table(source, rejects, (), split, config.tfds_data_dir)
        words = choose_column(table, given.text, ("tokens", "words", "text"), "text")
        tags = choose_column(table, given.label, ("tags", "ner_tags", "labels"), "label")
        say(f"{source}: {table.described}; words {words!r}, tags {tags!r}")
        examples = []
        for place, values in table.records:
            found = [_strings(values.get(str(column))) for column in (words, tags)]
            if not found[0] or not found[1]:
                rejects.add(place, "words or tags missing", values)
            elif len(found[0]) != len(found[1]):
                reason = f"{len(found[0])} words and {len(found[1])} tags"
                rejects.add(place, reason, values)
            else:
                examples.append(TagExample(place, found[0], _named(found[1], config.labels)))
        return examples

    @classmethod
    def from_examples(cls, examples: Sequence[TagExample], config: FinetuneConfig) -> "Tagging":
        """Takes the tags that were given, or all that occur, "O" first."""
        found = {tag for example in examples for tag in example.label or ()}
        labels = config.labels or tuple(sorted(found, key=lambda tag: (tag != "O", tag[2:], tag)))
        if len(labels) < 2:
            raise DataError(
                f"{config.train}: its tags are {sorted(found)}",
                "at least two tags",
                "check the last column, or --labels",
            )
        if config.metric != "accuracy" and not are_of_entities(labels):
            raise DataError(
                f"{config.train}: its tags {', '.join(sorted(labels)[:8])} name no entities",
                "O, B-X and I-X (E-X, S-X), where X is a type, or bare B and I",
                "name the tags so; of numbers give the names in order: --labels O B-PER I-PER …; "
                "or score words alone: --metric accuracy",
            )
        return cls(labels)

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "Tagging":
        """The task of a saved model."""
        return cls(labels)

    def accept(self, examples: Sequence[TagExample], rejects: Rejects) -> list[TagExample]:
        """Rejects sentences with a tag that is not known."""
        known, accepted = set(self.labels), []
        for example in examples:
            unknown = [tag for tag in example.label or () if tag not in known]
            if unknown:
                reason = f"tag {unknown[0]!r} is none of {', '.join(self.labels[:8])}"
                rejects.add(example.place, reason, " ".join(example.words))
            else:
                accepted.append(example)
        return accepted

    def encode(
        self, examples: Sequence[TagExample], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Sequences of whole words; a long sentence comes in several, and no word is left out."""
        number = {tag: i for i, tag in enumerate(self.labels)}
        room = max_length - 2
        all_pieces = tokenizer.encode_batch([w for example in examples for w in example.words])
        words = ([*pieces[:room]] or [tokenizer.unk_id] for pieces in all_pieces)
        encoded = []
        for place, example in enumerate(examples):
            here = [next(words) for _ in example.words]
            for start, stop in _windows([len(word) for word in here], room):
                tokens, firsts, tags = [tokenizer.cls_id], [0], [NO_LABEL]
                for index in range(start, stop):
                    rest = len(here[index]) - 1
                    tokens += here[index]
                    firsts += [1, *[0] * rest]
                    if example.label is not None:
                        tags += [number[example.label[index]], *[NO_LABEL] * rest]
                targets = {"is_first": [*firsts, 0]}
                if example.label is not None:
                    targets["tag"] = [*tags, NO_LABEL]
                tokens.append(tokenizer.sep_id)
                encoded.append(EncodedText(tokens, len(tokens), targets, place))
        return encoded

    def num_targets(self, batch: Batch) -> Array:
        """First pieces of words."""
        return (batch["tag"] >= 0).sum().astype(jnp.float32)

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Σ cross-entropy over the first pieces."""
        weights = (batch["tag"] >= 0).astype(jnp.float32)
        return (weights * cross_entropy(outputs, jnp.maximum(batch["tag"], 0))).sum()

    def decode(
        self,
        examples: Sequence[TagExample],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """The words, the best tag of each, and its probability.

        Where a text was given, also "start" and "end" of each word in it, in characters.
        """
        tags: list[list[str]] = [[] for _ in examples]
        sure: list[list[float]] = [[] for _ in examples]
        for text, output in zip(encoded, outputs, strict=True):
            first = np.array(text.targets["is_first"], bool)
            probabilities = scipy.special.softmax(output[first].astype(np.float64), axis=-1)
            tags[text.example] += [self.labels[i] for i in probabilities.argmax(-1)]
            sure[text.example] += probabilities.max(-1).tolist()
        predictions: list[Prediction] = []
        for example, found, how in zip(examples, tags, sure, strict=True):
            said: Prediction = {"words": list(example.words), "tags": found, "probabilities": how}
            if example.spans is not None:
                said |= {
                    "start": [start for start, _ in example.spans],
                    "end": [end for _, end in example.spans],
                }
            predictions.append(said)
        return predictions

    def score(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Precision, recall and F1 over entities, where tags name any, and accuracy over words."""
        gold = [list(example.label or ()) for example in examples]
        scores = entity_scores(gold, [p["tags"] for p in predictions])
        return {name: scores[name] for name in self.metrics}

    def rate(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> list[Rated]:
        """The share of right words, with the probability of the least certain one."""
        return [
            Rated(
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

    def classes(
        self, examples: Sequence[TagExample], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tags of all words."""
        number = {tag: i for i, tag in enumerate(self.labels)}
        gold = [number[tag] for example in examples for tag in example.label or ()]
        return np.array(gold), np.array([number[tag] for p in predictions for tag in p["tags"]])

    def parse(self, values: dict[str, Any], place: str) -> TagExample:
        """A text, whose words are what spaces part, or a list of words."""
        given = values.get("words", values.get("tokens", values.get("text")))
        spans = None
        if isinstance(given, str):
            spans = tuple(word.span() for word in re.finditer(r"\S+", given))
        words = _strings(given)
        if not words:
            raise DataError(
                f"{place}: no words in {str(values)[:80]}",
                'a text under "text", or a list under "words"',
                "name it so",
            )
        return TagExample(place, words, None, spans)


def _strings(value: Any) -> tuple[str, ...]:
    """A list of texts, of numbers or of bytes as texts; empty where it is none."""
    if isinstance(value, str):
        return tuple(value.split())
    try:
        items = list(value)
    except TypeError:
        return ()
    texts = (item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in items)
    return tuple(str(item) for item in texts)


def _named(tags: tuple[str, ...], labels: Sequence[str]) -> tuple[str, ...]:
    """Tags, with the labels in the place of their numbers."""
    names = {str(number): label for number, label in enumerate(labels)}
    return tuple(tag if tag in labels else names.get(tag, tag) for tag in tags)


def _windows(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Stretches of consecutive words that fit into `room` pieces; at least one."""
    windows, start, used = [], 0, 0
    for index, size in enumerate(sizes):
        if used + size > room:
            windows.append((start, index))
            start, used = index, 0
        used += size
    return [*windows, (start, len(sizes))]
