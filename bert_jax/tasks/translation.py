"""Translation: the objective, searching on devices, BLEU, and what a trained model is used for.

A batch is source [B, S] and target [B, T], int32: token ids, END, then PAD.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from bert_jax.config import SearchConfig, TransformerConfig
from bert_jax.data.bitext_batches import EncodedPair, eval_batches
from bert_jax.data.subwords import END, PAD, START
from bert_jax.errors import ConfigError
from bert_jax.models.decoding import Ends, Penalties, beam_search, greedy_search, read_weights
from bert_jax.models.functional import build
from bert_jax.models.seq2seq import Seq2Seq
from bert_jax.models.transformer import Transformer
from bert_jax.nn.compute import Compute
from bert_jax.training.losses import accuracy_sums, cross_entropy
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import AXIS, Batch, Metrics, Objective, Params

SEARCH_ROWS = 64  # sentences that are translated together


def build_translator(config: Any) -> tuple[Callable, Callable[[Params], Any]]:
    """`init` and `bind` of a translation model, by the kind of its configuration."""
    return build(config, Transformer if isinstance(config, TransformerConfig) else Seq2Seq)


# --- Training ------------------------------------------------------------------------------------


def decoder_input(target: Int[Array, "B T"]) -> Int[Array, "B T"]:
    """START and all tokens but the last: what is known when each token is guessed."""
    first = jnp.full((target.shape[0], 1), START, target.dtype)
    return jnp.concatenate([first, target[:, :-1]], axis=1)


def smoothed_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"], smoothing: float
) -> Float[Array, "B T"]:
    """(1 - ε) · (-log p(label)) + ε · mean over all words of -log p (Szegedy et al. 2016)."""
    exact = cross_entropy(logits, labels)
    everything = jax.nn.logsumexp(logits, axis=-1) - logits.mean(axis=-1)
    return (1 - smoothing) * exact + smoothing * everything


def make_objective(bind: Callable[[Params], Any], smoothing: float, compute: Compute) -> Objective:
    """The mean loss of the global batch's target tokens, END included.

    The metrics' "nll" is without label smoothing: e to its power is the perplexity.
    """

    def counts(batch: Batch) -> dict[str, Array]:
        return {"tokens": (batch["target"] != PAD).sum().astype(jnp.float32)}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        source, target = batch["source"], batch["target"]
        logits = bind(params)(
            source, source != PAD, decoder_input(target), key=key, compute=compute
        )
        weights = (target != PAD).astype(jnp.float32)
        num_tokens = weights.sum()
        total = (weights * smoothed_cross_entropy(logits, target, smoothing)).sum()
        nll = (weights * cross_entropy(logits, target)).sum()
        source_tokens = (source != PAD).sum().astype(jnp.float32)
        one = jax.lax.axis_size(AXIS) ** -1.0  # summed over devices, a batch counts once
        metrics = {
            "loss": (total, num_tokens),
            "nll": (nll, num_tokens),
            "token_accuracy": accuracy_sums(logits, target, weights),
            "tokens": (num_tokens + source_tokens, jnp.full((), one)),
        }
        return total / jnp.maximum(counts["tokens"], 1.0), metrics

    return Objective(lambda batch: batch, counts, loss)


# --- Searching -----------------------------------------------------------------------------------


def make_search_step(
    bind: Callable[[Params], Any], search: SearchConfig, max_positions: int
) -> Callable[[Params, Batch], Array]:
    """Builds `(params, batch) -> tokens [B, T]` of one device: those of the whole global batch."""

    def search_step(params: Params, batch: Batch) -> Array:
        model, source = bind(params), batch["source"]
        mask = source != PAD
        max_length = min(source.shape[1] + search.extra_tokens, max_positions)
        limits = jnp.minimum(mask.sum(axis=1) + search.extra_tokens, max_length)
        limits = jnp.where(mask.any(axis=1), limits, 1)
        memory, ends = model.remember(source, mask), Ends(START, END, PAD, max_length)
        state = model.start(memory, max_length)
        if search.num_beams == 1:
            tokens = greedy_search(partial(model.step, memory), state, limits, ends)
        else:
            penalties = Penalties(search.length_penalty, search.coverage_penalty)
            each = jax.tree.map(lambda x: jnp.repeat(x, search.num_beams, axis=0), memory)
            step = partial(model.step, each)
            tokens, _ = beam_search(step, state, limits, mask, ends, search.num_beams, penalties)
        return jax.lax.all_gather(tokens, AXIS, tiled=True)

    return search_step


def make_searcher(
    bind: Callable[[Params], Any],
    search: SearchConfig,
    max_positions: int,
    parallel: DataParallel,
) -> Callable[[Params, Sequence[list[int]]], list[list[int]]]:
    """Builds `(params, sources) -> translations`: token ids, spread over all devices."""
    step = parallel.spread(make_search_step(bind, search, max_positions), donate=False)
    num_rows = -(-SEARCH_ROWS // parallel.num_devices) * parallel.num_devices
    place = (jax.process_index(), jax.process_count())

    def translate(params: Params, sources: Sequence[list[int]]) -> list[list[int]]:
        found: list[list[int]] = [[]] * len(sources)
        rows = [EncodedPair(source, [END]) for source in sources]
        for numbers, batch in eval_batches(rows, num_rows, place):
            batch = {"source": batch["source"]}
            tokens = parallel.get(step(params, parallel.put_batch(batch)))
            for number, ids in zip(numbers, tokens.tolist(), strict=False):
                ids = ids[: ids.index(END)] if END in ids else ids
                found[number] = [i for i in ids if i != PAD]
        return found

    return translate


def alignments(
    model: Any, sources: Sequence[list[int]], targets: Sequence[list[int]]
) -> list[np.ndarray]:
    """How much of each source token was read for each target token: weights [T, S] of each pair."""
    rows = [EncodedPair(s, t) for s, t in zip(sources, targets, strict=True)]
    found: list[np.ndarray] = [np.empty(0)] * len(rows)

    @jax.jit
    def read(batch: Batch) -> Array:
        source, target = batch["source"], batch["target"]
        memory = model.remember(source, source != PAD)
        ends = Ends(START, END, PAD, target.shape[1])
        state = model.start(memory, target.shape[1])
        return read_weights(partial(model.step, memory), state, target, ends)

    for numbers, batch in eval_batches(rows, min(SEARCH_ROWS, len(rows))):
        for number, weights in zip(numbers, np.asarray(read(batch)), strict=False):
            found[number] = weights[: len(rows[number].target), : len(rows[number].source)]
    return found


# --- Scores --------------------------------------------------------------------------------------


class Bleu(NamedTuple):
    """Corpus BLEU (Papineni et al. 2002), as sacrebleu computes it."""

    score: float
    details: str
    signature: str


def corpus_bleu(translations: Sequence[str], references: Sequence[str], tokenize: str) -> Bleu:
    """BLEU of a whole corpus with one reference each.

    Raises:
        ConfigError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ConfigError(
            "BLEU needs sacrebleu, which is not installed",
            "the package sacrebleu",
            'pip install "bert_jax[eval]", or pass --metric exact',
        ) from None
    bleu = BLEU(tokenize=tokenize, force=True)  # force: tokenized text is meant, do not warn
    found = bleu.corpus_score(list(translations), [list(references)])
    return Bleu(found.score, str(found), str(bleu.get_signature()))


def exact_share(translations: Sequence[str], references: Sequence[str]) -> float:
    """Share of translations that are their reference, spaces aside."""
    same = [a.split() == b.split() for a, b in zip(translations, references, strict=True)]
    return sum(same) / len(same)
