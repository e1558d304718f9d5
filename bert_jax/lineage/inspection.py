"""What a translator does with a text: its best hypotheses, what else it could have said, attention.

An attention model and GNMT have one attention, from each word that they write to the source. The
Transformer has one in every head of every layer: of the decoder to the source, of the decoder to
what it has written, and of the encoder to the source itself.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bert_jax.inspection.attention import MAX_TOKENS, MAX_WEIGHTS
from bert_jax.inspection.pictures import Panel, Picture
from bert_jax.labelled.packed import require_finite
from bert_jax.lineage.bitext_batches import append_end, bucket_length
from bert_jax.lineage.config import GNMTConfig, SearchConfig, Seq2SeqConfig, TransformerConfig
from bert_jax.lineage.inspection_programs import FREE, Looked, look, search_hypotheses
from bert_jax.lineage.subwords import END, PAD, START
from bert_jax.lineage.translator import Translator

NO_ATTENTION = (
    "This model has no attention: every word is written from one vector, the encoder's last state."
)

# --- Results --------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """A token that could stand at a step."""

    token: str
    id: int
    probability: float
    """After the tokens before it."""


class Step(NamedTuple):
    """One token of a hypothesis, and what else could have stood there."""

    chosen: Candidate
    alternatives: list[Candidate]
    """The most probable tokens at this step; the chosen one may be among them."""


class Hypothesis(NamedTuple):
    """One translation of a text."""

    text: str
    score: float
    """By which hypotheses are compared: log-probability with the penalties of the search."""
    probability: float
    """Of all its tokens, the end included."""
    steps: list[Step]
    picture: Picture
    """Attention: rows are the tokens that are written."""


class Translation(NamedTuple):
    """What a search found."""

    hypotheses: list[Hypothesis]
    """From the best on, fewer than were asked for where two read the same; none for an empty
    text."""
    notice: str | None
    """Set if the text was cut, or has symbols outside the vocabulary."""


# --- Search, then one pass over all that it found -------------------------------------------------


def explain_translation(
    translator: Translator,
    text: str,
    num_best: int = 5,
    prefix: Sequence[int] = (),
    search: SearchConfig | None = None,
) -> Translation:
    """Translate a text, and return the best hypotheses with the attention of each.

    Args:
        translator: of `load_translator`.
        text: one sentence; see `longest_source`.
        num_best: hypotheses, and the fewest beams with which they are searched for.
        prefix: token ids with which every hypothesis begins, to see how another word would have
            gone on; the scores are those of what follows.
        search: how they are searched for; None: the run's own.

    Raises:
        CheckpointError: the model computes NaN or Inf.

    Example:
        >>> best, *others = explain_translation(translator, "september 27, 1994").hypotheses
        >>> best.steps[0].alternatives[0]
        Candidate(token='1', id=12, probability=0.99)
    """
    search = search or translator.config.search
    search = replace(search, num_beams=max(search.num_beams, num_best))
    ids, notice = _encode(translator, text)
    if not ids:
        return Translation([], notice)
    source = append_end(ids, translator.config.source_length)
    length = bucket_length(len(source))
    sources = jnp.asarray([[*source, *[PAD] * (length - len(source))]], jnp.int32)
    most = min(length + search.extra_tokens, translator.config.model.max_positions)
    limit = min(len(source) + search.extra_tokens, most)  # the last token can only be the end
    forced = jnp.asarray([*prefix[: limit - 1], *[FREE] * most][:most], jnp.int32)
    merge, params = translator.merge, translator.params
    tokens, scores = jax.device_get(
        search_hypotheses(merge, search, num_best, params, sources, forced)
    )
    found = tokens[np.isfinite(scores)].tolist()
    if not found:
        require_finite([scores])
    targets = [target[: target.index(END) + 1] for target in found]
    length = bucket_length(max(map(len, targets)))
    rows = np.full((num_best, length), PAD, np.int32)  # always N, so that nothing compiles anew
    for row, target in zip(rows, targets, strict=False):
        row[: len(target)] = target
    looked = jax.device_get(look(merge, params, sources, rows))
    hypotheses: dict[str, Hypothesis] = {}
    for index, target in enumerate(targets):
        written = translator.vocabulary.decode(target)
        if written in hypotheses:
            continue
        steps = _steps(translator, target, looked, index)
        probability = math.exp(looked.log_p[index, : len(target)].sum())
        weights = {kind: x[:, index] for kind, x in looked.weights.items()}
        picture = _picture(translator, text, source, target, weights)
        score = float(scores[index])
        hypotheses[written] = Hypothesis(written, score, probability, steps, picture)
    return Translation(list(hypotheses.values()), notice)


def longest_source(translator: Translator) -> int:
    """Return the most tokens of a text that is explained: fewer, the more heads a model has."""
    config, num_heads = translator.config.model, 1
    if isinstance(config, TransformerConfig):
        num_layers = config.num_encoder_layers + 2 * config.num_decoder_layers
        num_heads = num_layers * config.num_attention_heads
    longest = min(MAX_TOKENS, math.isqrt(MAX_WEIGHTS // num_heads))
    return max(1, min(longest, config.max_positions - 1))


def _encode(translator: Translator, text: str) -> tuple[list[int], str | None]:
    """Return token ids, at most `longest_source`, and a notice of what was lost."""
    (ids,), (unknown,) = translator.vocabulary.encode([text]), translator.vocabulary.unknown([text])
    longest, notices = longest_source(translator), []
    if len(ids) > longest:
        notices.append(f"Only the first {longest} tokens are translated.")
    if unknown:
        symbols = " ".join(dict.fromkeys(unknown))
        notices.append(f"The vocabulary lacks: {symbols}")
    return ids[:longest], " ".join(notices) or None


# --- Steps and pictures ---------------------------------------------------------------------------


def _steps(translator: Translator, target: list[int], looked: Looked, index: int) -> list[Step]:
    """Return the steps of one of the targets."""

    def candidate(token: int, log_p: float) -> Candidate:
        return Candidate(translator.vocabulary.tokens([token])[0], token, math.exp(log_p))

    chosen = zip(target, looked.log_p[index].tolist(), strict=False)
    best = zip(looked.tokens[index].tolist(), looked.best[index].tolist(), strict=True)
    return [
        Step(candidate(*step), list(map(candidate, *others)))
        for step, others in zip(chosen, best, strict=False)
    ]


def _picture(
    translator: Translator,
    text: str,
    source: list[int],
    target: list[int],
    weights: dict[str, np.ndarray],
) -> Picture:
    """Return the panels of a model: rows are the tokens that look, in the decoder as they come."""
    config, names = translator.config.model, translator.vocabulary.tokens
    title = f"{text} → {translator.vocabulary.decode(target)}"
    if isinstance(config, Seq2SeqConfig) and config.attention == "none":
        return Picture(title, [], NO_ATTENTION)
    looked_at, written, before = names(source), names(target), names([START, *target[:-1]])
    if not isinstance(config, TransformerConfig):
        score = "additive" if isinstance(config, GNMTConfig) else config.attention
        aligned = _cut(weights["source"][0], written, looked_at)
        return Picture(
            title, [Panel("Attention to the source", written, looked_at, aligned, [score])]
        )
    kinds = {
        "source": ("Decoder → source", written, looked_at),
        "target": ("Decoder → itself", written, before),
        "encoder": ("Encoder → itself", looked_at, looked_at),
    }
    panels = [
        Panel(f"{name}, layer {number}", rows, columns, _cut(layer, rows, columns))
        for kind, (name, rows, columns) in kinds.items()
        for number, layer in enumerate(weights[kind], 1)
    ]
    return Picture(title, panels)


def _cut(
    weights: Float[np.ndarray, "H _ _"], rows: Sequence[str], columns: Sequence[str]
) -> Float[np.ndarray, "H _ _"]:
    """Return weights without padding."""
    return weights[:, : len(rows), : len(columns)]
