"""Decoding of many sentences: translations by a search on all devices, and alignments of pairs."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.lineage.bitext_batches import EncodedPair, translation_eval_batches
from bert_jax.lineage.config import SearchConfig
from bert_jax.lineage.decoding import (
    Penalties,
    SpecialTokens,
    alignment_weights,
    beam_search,
    greedy_search,
)
from bert_jax.lineage.subwords import END, PAD, START
from bert_jax.progress import track
from bert_jax.training.feeding import compute_ahead
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import AXIS, Batch, Params

SEARCH_ROWS = 64  # sentences that are translated together
SPECIAL_TOKENS = SpecialTokens(START, END, PAD)


def make_search_step(
    merge: Callable[[Params], Any], search: SearchConfig, max_positions: int
) -> Callable[[Params, Batch], Array]:
    """Build `(params, batch) -> tokens [B, T]` of one device: those of the whole global batch."""

    def search_step(params: Params, batch: Batch) -> Array:
        model, source = merge(params), batch["source"]
        mask = source != PAD
        max_length = min(source.shape[1] + search.extra_tokens, max_positions)
        limits = jnp.minimum(mask.sum(axis=1) + search.extra_tokens, max_length)
        limits = jnp.where(mask.any(axis=1), limits, 1)
        memory = model.encode(source, mask)
        state = model.init_state(memory, max_length)
        if search.num_beams == 1:
            step = partial(model.step, memory)
            tokens = greedy_search(step, state, limits, max_length, SPECIAL_TOKENS)
        else:
            num_beams = search.num_beams
            repeated = jax.tree.map(lambda x: jnp.repeat(x, num_beams, axis=0), memory)
            tokens, _ = beam_search(
                partial(model.step, repeated),
                state,
                limits,
                mask,
                max_length,
                SPECIAL_TOKENS,
                num_beams,
                Penalties(search.length_penalty, search.coverage_penalty),
            )
        return jax.lax.all_gather(tokens, AXIS, tiled=True)

    return search_step


class Searcher:
    """Search for the translations of many sentences, sharded over all devices.

    Args:
        merge: of `build_translator`.
        search: greedy or beam search, and its penalties.
        max_positions: most tokens of a translation, END included.
        parallel: the devices.
    """

    def __init__(
        self,
        merge: Callable[[Params], Any],
        search: SearchConfig,
        max_positions: int,
        parallel: DataParallel,
    ):
        self.step = parallel.shard(make_search_step(merge, search, max_positions), donate=False)
        self._parallel = parallel

    def __call__(self, params: Params, sources: Sequence[list[int]]) -> list[list[int]]:
        """Return the translation of each source, as token ids; sources have END."""
        parallel = self._parallel
        translations: list[list[int]] = [[]] * len(sources)
        batches = [*self.batches(sources, parallel.process)]
        alone = (batch for _, batch in batches)
        results = compute_ahead(lambda batch: self.step(params, batch), alone, parallel)
        shown = parallel.is_first_process
        results = track(results, "translating", len(batches), "batches", shown=shown)
        for (indices, _), tokens in zip(batches, results, strict=True):
            for index, ids in zip(indices, tokens.tolist(), strict=False):
                ids = ids[: ids.index(END)] if END in ids else ids
                translations[index] = [i for i in ids if i != PAD]
        return translations

    def batches(
        self, sources: Sequence[list[int]], process: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        """Yield the indices of each batch's sources, and a process's share of the batch."""
        rows = [EncodedPair(source, [END]) for source in sources]
        num_rows = rows_together(self._parallel.num_devices)
        for indices, batch in translation_eval_batches(rows, num_rows, process):
            yield indices, {"source": batch["source"]}


def rows_together(num_devices: int) -> int:
    """Return how many sentences are evaluated or translated together: as many on each device."""
    return -(-SEARCH_ROWS // num_devices) * num_devices


def align_pairs(
    model: Any, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[np.ndarray]:
    """Return how much each target token attends to each source token: weights [T, S] of each pair.

    Args:
        model: a translation model with its parameters.
        sources: token ids with END.
        targets: token ids with END.
    """
    rows = [EncodedPair(s, t) for s, t in zip(sources, targets, strict=True)]
    alignments: list[np.ndarray] = [np.empty(0)] * len(rows)

    @jax.jit
    def align(batch: Batch) -> Array:
        source, target = batch["source"], batch["target"]
        memory = model.encode(source, source != PAD)
        state = model.init_state(memory, target.shape[1])
        return alignment_weights(partial(model.step, memory), state, target, SPECIAL_TOKENS)

    for indices, batch in translation_eval_batches(rows, min(SEARCH_ROWS, len(rows))):
        for index, weights in zip(indices, np.asarray(align(batch)), strict=False):
            alignments[index] = weights[: len(rows[index].target), : len(rows[index].source)]
    return alignments
