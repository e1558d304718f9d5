"""Sets of labelled data for fine-tuning: read, checked against each other, and encoded."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import DataError
from bert_jax.tasks.task import Task


class Labelled(NamedTuple):
    """A set of labelled data."""

    examples: list[Any]
    encoded: list[EncodedText]


def read_labelled(
    kind: type[Task],
    config: FinetuneConfig,
    tokenizer: Tokenizer,
    rejects: Rejects,
    say: Callable[[str], None],
) -> tuple[Task, dict[str, Labelled]]:
    """Reads the training data, the held-out data and, if any, the test data.

    Returns:
        The task with its labels, and the sets as "train", "dev" and "test".

    Raises:
        DataError: a set without one row that can be used.
    """
    sources = {"train": config.train, "dev": config.dev, "test": config.test}
    splits = {"train": "train", "dev": "validation", "test": "test"}
    task: Task | None = None
    data: dict[str, Labelled] = {}
    for name, source in sources.items():
        if source is None:
            continue
        before = len(rejects.rows)
        examples = kind.read(source, splits[name], config, rejects, say)
        if task is None:
            task = kind.from_examples(examples, config)
        examples = task.accept(examples, rejects)
        if not examples:
            raise DataError(
                f"{name} data {source}: no row of it can be used",
                "rows with a text and a known label",
                "look at the reasons: " + "; ".join(rejects.summary())[:300],
            )
        encoded = task.encode(examples, tokenizer, config.max_length)
        sizes = np.array([len(text.tokens) for text in encoded])
        say(
            f"{name}: {len(examples):,} examples used, {len(rejects.rows) - before:,} rejected, "
            f"{len(encoded):,} sequences of {sizes.mean():.1f} tokens, "
            f"{(sizes >= config.max_length).sum():,} of them full"
        )
        data[name] = Labelled(examples, encoded)
    assert task is not None
    if task.labels:
        say(f"labels: {', '.join(task.labels[:20])}{', …' if len(task.labels) > 20 else ''}")
    known = {_without_label(example) for example in data["train"].examples}
    for name in ("dev", "test"):
        if name in data:
            shared = sum(_without_label(example) in known for example in data[name].examples)
            if shared:
                say(f"warning: {shared:,} examples of the {name} data are in the training data too")
    return task, data


def _without_label(example: Any) -> Any:
    """What the model sees of an example."""
    return example._replace(place="", label=None)
