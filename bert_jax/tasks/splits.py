"""The train, dev and test splits of fine-tuning: read, checked for overlap, and encoded."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.tasks.task import Task
from bert_jax.tokenizer.tokenizer import Tokenizer


class Split(NamedTuple):
    """A split of labelled data."""

    examples: list[Any]
    encoded: list[EncodedText]


def read_splits(
    kind: type[Task],
    config: FinetuneConfig,
    tokenizer: Tokenizer,
    rejects: Rejects,
    log: Callable[[str], None],
) -> tuple[Task, dict[str, Split]]:
    """Read and encode the training data, the held-out data and, if configured, the test data.

    Args:
        kind: class of the task.
        config: where the data are, and how they are read.
        tokenizer: the encoder's.
        rejects: collects the rows that cannot be used.
        log: prints one line.

    Returns:
        The task with its labels, and the splits as "train", "dev" and "test".

    Raises:
        DataError: a split without a usable row.
    """
    sources = {"train": config.train, "dev": config.dev, "test": config.test}
    tfds_splits = {"train": "train", "dev": "validation", "test": "test"}
    task: Task | None = None
    data: dict[str, Split] = {}
    for name, source in sources.items():
        if source is None:
            continue
        before = len(rejects.rows)
        examples = kind.read(source, tfds_splits[name], config, rejects, log)
        if task is None:
            task = kind.from_examples(examples, config)
        examples = task.accept(examples, rejects)
        if not examples:
            raise DataError(
                f"{name} data {source}: none of its rows can be used",
                "rows with a text and a known label",
                "see the reasons: " + "; ".join(rejects.summary())[:300],
            )
        encoded = task.encode(examples, tokenizer, config.max_length)
        sizes = np.array([len(text.tokens) for text in encoded])
        log(
            f"{name}: {len(examples):,} examples used, {len(rejects.rows) - before:,} rejected, "
            f"{len(encoded):,} sequences of {sizes.mean():.1f} tokens, "
            f"{(sizes >= config.max_length).sum():,} of them at max_length"
        )
        data[name] = Split(examples, encoded)
    assert task is not None
    if task.labels:
        log(f"labels: {', '.join(task.labels[:20])}{', …' if len(task.labels) > 20 else ''}")
    known = {_without_label(example) for example in data["train"].examples}
    for name in ("dev", "test"):
        if name in data:
            shared = sum(_without_label(example) in known for example in data[name].examples)
            if shared:
                log(
                    f"warning: {shared:,} examples of the {name} data are also in the training data"
                )
    return task, data


def _without_label(example: Any) -> Any:
    """Return an example without its label and place: all that the model sees of it."""
    return example._replace(place="", label=None)
