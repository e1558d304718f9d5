"""Rows of a pretraining run, and its batches, phase after phase."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from bert_jax.config import PhaseSpan, PretrainConfig
from bert_jax.corpus.loader import HostBatch, PretrainingRows, pretraining_batches
from bert_jax.corpus.prepared import PreparedData


def open_rows(
    config: PretrainConfig, data: PreparedData, encoder_rows: int = 0
) -> tuple[PretrainConfig, dict[int, PretrainingRows], dict[int, PretrainingRows]]:
    """Check prepared data; return the configuration with what follows from it, and the rows.

    Args:
        config: the run.
        data: its prepared data.
        encoder_rows: word embeddings of the model to start from.

    Returns:
        The configuration with the size of the vocabulary and the number of steps; training and
        held-out rows by length. There are no held-out rows if a length of the run has none.
    """
    data.check()
    config = config.with_nsp(data.nsp).with_vocab_size(data.tokenizer.vocab_size, encoder_rows)
    lengths = list(dict.fromkeys(phase.length for phase in config.phases))
    data.require_lengths(lengths)
    train_rows = {length: data.rows(length, "train") for length in lengths}
    eval_rows = {}
    if all("eval" in data.splits(length) for length in lengths):
        eval_rows = {length: data.rows(length, "eval") for length in lengths}
    return config.with_steps(count_rows(train_rows)), train_rows, eval_rows


def count_rows(rows: Mapping[int, PretrainingRows]) -> dict[int, int]:
    """Return the number of rows of each length."""
    return {length: len(rows_of_length) for length, rows_of_length in rows.items()}


def phase_batches(
    spans: Sequence[PhaseSpan],
    rows: Mapping[int, PretrainingRows],
    seed: int,
    start: int,
    process: tuple[int, int],
    rows_before: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[HostBatch]:
    """Yield this process's share of every batch from step `start` (from 0) on, phase after phase.

    A phase continues in the rows of its length where the previous phase of that length stopped,
    the first one after the `rows_before` that a run which this one extends has read.
    """
    taken = {length: rows_before.get(str(length), 0) for length in rows}
    for span in spans:
        phase = span.phase
        if start < span.stop:
            yield from pretraining_batches(
                rows[phase.length],
                phase.batch_size,
                seed=seed,
                start_step=max(start - span.start, 0),
                num_steps=span.stop - max(start, span.start),
                process=process,
                skip=taken[phase.length],
            )
        taken[phase.length] += (span.stop - span.start) * phase.batch_size
