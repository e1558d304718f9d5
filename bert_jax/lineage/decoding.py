"""Greedy search and beam search: from logits of the next token to whole sequences.

Both take a step `(state, tokens [N], t) -> (state, logits [N, V], alignment [N, S])`: `tokens` are
the t-th of each hypothesis (START first), every array of the state has a row for each hypothesis,
and the alignment weights are how much each hypothesis attends to each source token.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Step = Callable[[Any, Array, Array], tuple[Any, Array, Array]]

MIN_COVERAGE = 1e-9  # keeps the penalty of a source token without any attention finite


class SpecialTokens(NamedTuple):
    """Token ids with which a search starts, ends and pads hypotheses."""

    start: int
    """Token before the first."""
    end: int
    """Token after the last."""
    pad: int
    """Token that fills the rest of a row."""


class Penalties(NamedTuple):
    """Penalties in the score of a finished hypothesis (Wu et al. 2016, equation 14)."""

    length: float = 0.0
    """α: log P is divided by ((5 + |Y|) / 6)^α, where |Y| counts the end token."""
    coverage: float = 0.0
    """β: times Σ_i log min(Σ_j p_ij, 1), negative where source tokens got little attention."""

    def divisor(self, length: Array) -> Array:
        """Return lp(Y) of a hypothesis of `length` tokens."""
        return ((5.0 + length) / 6.0) ** self.length


def greedy_search(
    step: Step, state: Any, limits: Int[Array, "B"], max_length: int, special: SpecialTokens
) -> Int[Array, "B T"]:
    """Take the most probable token at every step.

    Args:
        step: see above.
        state: before the first step, one row for each sentence.
        limits: most tokens of each hypothesis, the end token included; cut off there.
        max_length: T, at least the largest limit.
        special: start, end and padding.
    """
    num_rows = limits.shape[0]

    def is_running(loop):
        t, _, running, _, _ = loop
        return (t < max_length) & running.any()

    def advance(loop):
        t, state, running, tokens, hypotheses = loop
        state, logits, _ = step(state, tokens, t)
        tokens = logits.argmax(axis=-1).astype(jnp.int32)
        hypotheses = hypotheses.at[:, t].set(jnp.where(running, tokens, special.pad))
        running = running & (tokens != special.end) & (t + 1 < limits)
        return t + 1, state, running, tokens, hypotheses

    first = jnp.full((num_rows,), special.start, jnp.int32)
    empty = jnp.full((num_rows, max_length), special.pad, jnp.int32)
    loop = (jnp.zeros((), jnp.int32), state, limits > 0, first, empty)
    return jax.lax.while_loop(is_running, advance, loop)[-1]


class SearchSize(NamedTuple):
    """Size of a beam search."""

    max_length: int
    """Most tokens T of a hypothesis, at least the largest limit."""
    num_beams: int
    """Unfinished hypotheses K that are kept at every step."""
    num_best: int = 1
    """Finished hypotheses N that are kept and returned."""


def beam_search(
    step: Step,
    state: Any,
    limits: Int[Array, "B"],
    source_mask: Bool[Array, "B S"],
    max_length: int,
    special: SpecialTokens,
    num_beams: int,
    penalties: Penalties,
) -> tuple[Int[Array, "B T"], Float[Array, "B"]]:
    """Return the best hypothesis of each sentence, and its score.

    Args:
        step: see above.
        state: before the first step, one row for each sentence.
        limits: most tokens of each hypothesis, the end token included, at least 1.
        source_mask: true on tokens of the source.
        max_length: T, at least the largest limit.
        special: start, end and padding.
        num_beams: hypotheses kept at every step, K.
        penalties: of the score by which finished hypotheses are compared.
    """
    size = SearchSize(max_length, num_beams)
    best, scores = search_n_best(step, state, limits, source_mask, size, special, penalties)
    return best[:, 0], scores[:, 0]


def search_n_best(
    step: Step,
    state: Any,
    limits: Int[Array, "B"],
    source_mask: Bool[Array, "B S"],
    size: SearchSize,
    special: SpecialTokens,
    penalties: Penalties,
) -> tuple[Int[Array, "B N T"], Float[Array, "B N"]]:
    """Keep the K most probable unfinished hypotheses, and the N best finished ones.

    A sentence is done once no unfinished hypothesis could still beat the last of its N, even if all
    further tokens had probability 1. At its limit a hypothesis can only end. Arguments are those of
    `beam_search`.

    Returns:
        Hypotheses from the best on, and their scores, -inf where fewer than N ended.
    """
    num_rows, k = limits.shape[0], size.num_beams
    rows = jnp.arange(num_rows)[:, None]

    def flat(x_BK: Array) -> Array:
        return x_BK.reshape(num_rows * k, *x_BK.shape[2:])

    def is_running(loop):
        t, _, log_p_BK, _, _, _, best_score_BN, _ = loop
        bound_B = log_p_BK.max(axis=1) / penalties.divisor(limits.astype(jnp.float32))
        return (t < size.max_length) & (bound_B > best_score_BN[:, -1]).any()

    def advance(loop):
        t, state, log_p_BK, tokens_BK, alive_BKT, coverage_BKS, best_score_BN, best_BNT = loop
        state, logits, alignment = step(state, flat(tokens_BK), t)
        next_BKV = jax.nn.log_softmax(logits).reshape(num_rows, k, -1)
        vocab_size = next_BKV.shape[-1]
        next_BKV = _end_at_limit(next_BKV, t + 1 >= limits, special.end)
        coverage_BKS = coverage_BKS + alignment.reshape(num_rows, k, -1)

        # The most probable 2 K candidates: at most K of them end, one for each hypothesis. An end
        # counts only among the first K, so that one beam is greedy search.
        total = (log_p_BK[:, :, None] + next_BKV).reshape(num_rows, -1)
        log_p_BC, index_BC = jax.lax.top_k(total, min(2 * k, k * vocab_size))
        parent_BC = index_BC // vocab_size
        token_BC = (index_BC % vocab_size).astype(jnp.int32)
        ended_BC = token_BC == special.end
        hypotheses_BCT = alive_BKT[rows, parent_BC].at[:, :, t].set(token_BC)

        cp_BK = jnp.zeros_like(log_p_BK)
        if penalties.coverage:
            cp_BK = _log_coverage(coverage_BKS, source_mask)
        score_BC = log_p_BC / penalties.divisor(t + 1.0)
        score_BC = score_BC + penalties.coverage * cp_BK[rows, parent_BC]
        finished_BC = ended_BC & (jnp.arange(ended_BC.shape[1]) < k)[None]
        score_BC = jnp.where(finished_BC, score_BC, -jnp.inf)
        # Of equal scores the first one stays, so those that ended before come first.
        score_BC = jnp.concatenate([best_score_BN, score_BC], axis=1)
        finished_BCT = jnp.concatenate([best_BNT, hypotheses_BCT], axis=1)
        best_score_BN, best_BN = jax.lax.top_k(score_BC, size.num_best)
        best_BNT = finished_BCT[rows, best_BN]

        log_p_BK, chosen_BK = jax.lax.top_k(jnp.where(ended_BC, -jnp.inf, log_p_BC), k)
        parent_BK = parent_BC[rows, chosen_BK]
        source_rows = flat(rows * k + parent_BK)
        state = jax.tree.map(lambda x: x[source_rows], state)
        return (
            t + 1, state, log_p_BK, token_BC[rows, chosen_BK], hypotheses_BCT[rows, chosen_BK],
            coverage_BKS[rows, parent_BK], best_score_BN, best_BNT,
        )  # fmt: skip

    loop = _first_beams(state, source_mask, size, special)
    *_, scores, best = jax.lax.while_loop(is_running, advance, loop)
    return best, scores


def _first_beams(
    state: Any,
    source_mask: Bool[Array, "B S"],
    size: SearchSize,
    special: SpecialTokens,
) -> tuple:
    """Return the variables of `search_n_best` before its first step: one hypothesis, and no others.

    They are the time, the state, log-probabilities, last tokens, hypotheses and coverage of the
    beams, and the scores and tokens of each sentence's best finished hypotheses.
    """
    num_rows, k, num_best = source_mask.shape[0], size.num_beams, size.num_best
    first_alone_K = jnp.where(jnp.arange(k) == 0, 0.0, -jnp.inf)
    empty_BCT = jnp.full((num_rows, k + num_best, size.max_length), special.pad, jnp.int32)
    return (
        jnp.zeros((), jnp.int32),
        jax.tree.map(lambda x: jnp.repeat(x, k, axis=0), state),
        jnp.broadcast_to(first_alone_K, (num_rows, k)),
        jnp.full((num_rows, k), special.start, jnp.int32),
        empty_BCT[:, :k],
        jnp.zeros((num_rows, k, source_mask.shape[1])),
        jnp.full((num_rows, num_best), -jnp.inf),
        empty_BCT[:, k:],
    )


def _end_at_limit(
    log_p: Float[Array, "B K V"], must_end: Bool[Array, "B"], end: int
) -> Float[Array, "B K V"]:
    """Return log-probabilities by which a hypothesis at its limit can only end."""
    is_end_V = jnp.arange(log_p.shape[-1]) == end
    return jnp.where(must_end[:, None, None] & ~is_end_V[None, None], -jnp.inf, log_p)


def _log_coverage(
    coverage: Float[Array, "B K S"], source_mask: Bool[Array, "B S"]
) -> Float[Array, "B K"]:
    """Return how far source tokens were attended to: 0 if each with weight 1, else below 0."""
    on_tokens = jnp.where(source_mask[:, None], coverage, 1.0)
    return jnp.log(jnp.clip(on_tokens, MIN_COVERAGE, 1.0)).sum(axis=-1)


def alignment_weights(
    step: Step, state: Any, targets: Int[Array, "B T"], special: SpecialTokens
) -> Float[Array, "B T S"]:
    """Return how much each target token attends to each source token.

    Args:
        step: see above.
        state: before the first step, one row for each sentence.
        targets: token ids of the target, for example of a search.
        special: start, end and padding.
    """
    first = jnp.full((targets.shape[0], 1), special.start, targets.dtype)
    inputs_BT = jnp.concatenate([first, targets[:, :-1]], axis=1)

    def advance(state, inputs):
        tokens, t = inputs
        state, _, alignment = step(state, tokens, t)
        return state, alignment

    _, alignment_TBS = jax.lax.scan(advance, state, (inputs_BT.T, jnp.arange(targets.shape[1])))
    return alignment_TBS.swapaxes(0, 1)
