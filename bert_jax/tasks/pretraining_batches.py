"""Host batches of a pretraining run, as its objective takes them."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from bert_jax.config import Phase, PretrainConfig, phase_spans
from bert_jax.corpus.loader import HostBatch, PretrainingRows, pretraining_eval_batches
from bert_jax.corpus.phases import phase_batches
from bert_jax.tasks.masking import masked_counts
from bert_jax.tasks.pretraining import MASK_COUNTS, NSP_LABEL


def training_batches(
    config: PretrainConfig,
    rows: Mapping[int, PretrainingRows],
    start: int,
    process: tuple[int, int],
    rows_before: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[HostBatch]:
    """Yield this process's share of every training batch from step `start` (from 0) on.

    Args:
        config: the run.
        rows: training rows by length.
        start: steps already taken.
        process: index of this process, and number of processes.
        rows_before: rows of each length that a run which this one extends has read.
    """
    batches = phase_batches(phase_spans(config), rows, config.seed, start, process, rows_before)
    return adapt_batches(batches, config, start)


def evaluation_batches(
    config: PretrainConfig,
    rows: Mapping[int, PretrainingRows],
    phase: Phase,
    process: tuple[int, int],
) -> Iterator[HostBatch]:
    """Yield this process's share of the held-out batches of a phase, the same every time."""
    held_out = rows[phase.length]
    batches = pretraining_eval_batches(held_out, phase.batch_size, config.eval_rows, process)
    return drop_unused_labels(batches, config)


def adapt_batches(
    batches: Iterable[HostBatch], config: PretrainConfig, start: int = 0
) -> Iterator[HostBatch]:
    """Yield training batches, the first one of step `start` (from 0), as the objective takes them.

    They lose the labels of NSP if the run does without, and get MASK_COUNTS, the predictions in
    each sequence at the step's rate, if the rate changes.
    """
    for step, batch in enumerate(drop_unused_labels(batches, config), start):
        if config.masking.final_rate is None:
            yield batch
            continue
        masking = config.masking.at(step, config.loop.steps)
        counts = masked_counts(batch["tokens"].shape[1], masking)
        yield {**batch, MASK_COUNTS: counts[batch["lengths"].sum(axis=-1)]}


def drop_unused_labels(batches: Iterable[HostBatch], config: PretrainConfig) -> Iterator[HostBatch]:
    """Yield batches without the labels of NSP if the run does without."""
    unused = {NSP_LABEL} if config.nsp is False else set()
    for batch in batches:
        yield {name: values for name, values in batch.items() if name not in unused}
