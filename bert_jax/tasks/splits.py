"""The train, dev and test splits of fine-tuning: read, checked for overlap, and encoded."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText, hash_texts
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import training_columns
from bert_jax.progress import Progress
from bert_jax.tasks.task import Task
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.checkpoint_arrays import hash_arrays
from bert_jax.training.step import Params

TFDS_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


class Split(NamedTuple):
    """A split of labelled data."""

    examples: list[Any]
    encoded: list[EncodedText]


Data = dict[str, Split]
"""Splits by name: "train", "dev" and, if configured, "test"."""


def read_splits(
    kind: type[Task],
    config: FinetuneConfig,
    tokenizer: Tokenizer,
    rejects: Rejects,
    log: Callable[[str], None],
) -> tuple[Task, Data]:
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
        DataError: a split without a usable row, or with too many that cannot be used.
    """
    sources = {"train": config.train, "dev": config.dev, "test": config.test}
    task: Task | None = None
    data: Data = {}
    for name, source in sources.items():
        if source is None:
            continue
        before = len(rejects.rows)
        with Progress(f"reading {name} data", summary=False):
            examples = kind.read(source, TFDS_SPLITS[name], config, rejects, log)
        if task is None and examples:
            task = kind.from_examples(examples, config)
        examples = task.accept(examples, rejects) if task else []
        if task is None or not examples:
            raise DataError(
                f"{name} data {source}: none of its rows can be used: "
                + "; ".join(rejects.summary(before))[:300],
                "rows with a text and a known label",
                "fix these rows, or choose other columns: --columns.text, --columns.label",
            )
        check_rejected(f"{name} data {source}", len(examples), rejects, before, config.max_rejected)
        with Progress(f"tokenizing {name} data", summary=False):
            encoded = task.encode(examples, tokenizer, config.max_length)
        sizes = np.array([len(text.tokens) for text in encoded])
        num_cut = len({text.example for text in encoded if text.truncated})
        log(
            f"{name}: {len(examples):,} examples used, {len(rejects.rows) - before:,} rejected, "
            f"{len(encoded):,} sequences of {sizes.mean():.1f} tokens, "
            f"{num_cut:,} examples truncated to {config.max_length} tokens"
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


def hash_inputs(params: Params, tokenizer: Tokenizer, data: Data) -> dict[str, str]:
    """Return hashes of what decides a run's weights and its choices besides its configuration."""
    return {
        "encoder": hash_arrays(params),
        "tokenizer": tokenizer.sha256,
        "data": hash_texts([*data["train"].encoded, *data["dev"].encoded]),
    }


def limit_examples(split: Split, limit: int | None) -> Split:
    """Return a split with at most so many examples, spaced evenly over all; None: with all."""
    num_examples = len(split.examples)
    if limit is None or limit >= num_examples:
        return split
    chosen = np.linspace(0, num_examples - 1, limit, dtype=int).tolist()
    index = {old: new for new, old in enumerate(chosen)}
    encoded = [
        text._replace(example=index[text.example])
        for text in split.encoded
        if text.example in index
    ]
    return Split([split.examples[old] for old in chosen], encoded)


def check_rejected(
    name: str, num_used: int, rejects: Rejects, start: int, max_rejected: float
) -> None:
    """Check that few enough rows were rejected; blank ones do not count.

    Args:
        name: the data, for messages.
        num_used: rows that can be used.
        rejects: the rejected rows.
        start: the first of them that belongs to these data.
        max_rejected: share of the rows that may be rejected.

    Raises:
        DataError: it is exceeded.
    """
    num_bad = rejects.count(start)
    share = num_bad / max(num_bad + num_used, 1)
    if share > max_rejected:
        raise DataError(
            f"{name}: {num_bad:,} of {num_bad + num_used:,} rows cannot be used: "
            + "; ".join(rejects.summary(start))[:300],
            f"at most {max_rejected:.0%} of the rows",
            f"fix these rows, or accept them: --max-rejected {math.ceil(share * 100) / 100}",
        )


def read_columns(task: Task, config: FinetuneConfig) -> dict[str, str]:
    """Return the columns of the training data's texts, to be saved with the model."""
    if task.head == "ForSequenceClassification":
        return training_columns(config.train, TFDS_SPLITS["train"], config)
    return {"text": config.columns.text} if config.columns.text else {}


def _without_label(example: Any) -> Any:
    """Return an example without its label and place: all that the model sees of it."""
    return example._replace(place="", label=None)
