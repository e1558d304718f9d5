"""Candidates for blanks in a text, by the masked-LM head of a trained BERT."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bert_jax.labelled.batching import BUCKETS
from bert_jax.nn.layout import row_layout
from bert_jax.pretrained import Model
from bert_jax.tokenizer.tokenizer import Tokenizer

NUM_CANDIDATES = 7  # with the hidden word, 8 rows a pass
ROWS = NUM_CANDIDATES + 1
MAX_PIECES = 6  # in a blank; each costs a pass
MAX_BLANKS = ROWS


class Piece(NamedTuple):
    """A token of a text."""

    id: int
    start: int
    """Its first character in the text."""
    end: int
    """Its last character + 1."""


class Blank(NamedTuple):
    """Pieces of a text that are hidden, and how many [MASK]s stand for them."""

    first: int
    """Index of the first hidden piece."""
    last: int
    """Index of the last hidden piece + 1."""
    num_masks: int


class Candidate(NamedTuple):
    """Pieces that could fill a blank."""

    ids: list[int]
    probability: float
    """Product of the pieces' probabilities, each given those before it."""


class Filled(NamedTuple):
    """What a model expects in a blank."""

    candidates: list[Candidate]
    """The most probable first."""
    hidden: Candidate | None
    """The pieces that the blank hides; None if it has another number of [MASK]s."""
    rank: int | None
    """Place of the hidden piece among all of the vocabulary, from 1; None if there are several."""


def split_pieces(text: str, tokenizer: Tokenizer) -> list[Piece]:
    """Split a text into pieces; [MASK], where it is written in the text, is one."""
    return [Piece(*piece) for piece in zip(*tokenizer.encode_masked(text), strict=True)]


def group_words(pieces: Sequence[Piece], tokenizer: Tokenizer) -> list[list[Piece]]:
    """Group pieces to words: a piece that continues a word ("##ing") joins the one before it."""
    words: list[list[Piece]] = []
    for piece in pieces:
        if words and tokenizer.is_continuation[piece.id] and piece.start <= words[-1][-1].end:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


class BlankFiller:
    """The masked-LM head of a model, for blanks of several pieces.

    The candidates of a blank are found piece by piece, from left to right: the most probable pieces
    for its first [MASK], for each of them the most probable ones for the second, and so on; the
    NUM_CANDIDATES best by their product are kept (beam search). Other blanks stay masked meanwhile.

    Args:
        model: a model that predicts masked words.

    Raises:
        ConfigError: it has no masked-LM head.
    """

    def __init__(self, model: Model):
        model.require_mlm()
        self._model = model
        self._special = np.zeros(model.tokenizer.vocab_size, bool)
        self._special[model.tokenizer.special_ids] = True
        self._program = jax.jit(partial(_predict, model.merge))

    @property
    def max_pieces(self) -> int:
        """Most pieces of a text, without [CLS] and [SEP]."""
        return self._model.config.max_position_embeddings - 2

    def fill(self, pieces: Sequence[Piece], blanks: Sequence[Blank]) -> list[Filled]:
        """Return what the model expects in each blank.

        Args:
            pieces: of the text.
            blanks: in the order of the text, none over another; MAX_BLANKS of at most MAX_PIECES
                [MASK]s. With them, the text has at most `max_pieces`.
        """
        tokenizer = self._model.tokenizer
        tokens, starts, after = [tokenizer.cls_id], [], 0
        for blank in blanks:
            tokens += [piece.id for piece in pieces[after : blank.first]]
            starts.append(len(tokens))
            tokens += [tokenizer.mask_id] * blank.num_masks
            after = blank.last
        tokens += [*(piece.id for piece in pieces[after:]), tokenizer.sep_id]
        return [
            self._search(tokens, start, self._hidden(pieces, blank), blank.num_masks)
            for start, blank in zip(starts, blanks, strict=True)
        ]

    def compile(self, num_tokens: int, num_rows: int = 1) -> None:
        """Compile the program for texts of a length, and for so many candidates at once."""
        self._top([[self._model.tokenizer.mask_id] * num_tokens] * num_rows, 0, [0] * num_rows)

    def _hidden(self, pieces: Sequence[Piece], blank: Blank) -> list[int] | None:
        """Return the ids that a blank hides, if its [MASK]s are as many and none is written."""
        ids = [piece.id for piece in pieces[blank.first : blank.last]]
        written = ids == [self._model.tokenizer.mask_id]
        return None if written or len(ids) != blank.num_masks else ids

    def _search(
        self, tokens: list[int], start: int, hidden: list[int] | None, num_masks: int
    ) -> Filled:
        """Search for the best candidates of a blank, and follow the hidden pieces beside them."""
        beams = [Candidate([], 1.0)]
        log_hidden, rank = 0.0, None
        for step in range(num_masks):
            followed = [beam.ids for beam in beams]
            if hidden is not None and hidden[:step] not in followed:
                followed.append(hidden[:step])
            end = start + step
            rows = [[*tokens[:start], *ids, *tokens[end:]] for ids in followed]
            target = hidden[step] if hidden is not None else 0
            top, of_target, ranks = self._top(rows, end, [target] * len(rows))
            beams = sorted(
                (
                    Candidate([*beam.ids, int(piece)], beam.probability * float(p))
                    for beam, (ids, probabilities) in zip(beams, top, strict=False)
                    for piece, p in zip(ids, probabilities, strict=True)
                ),
                key=lambda candidate: -candidate.probability,
            )[:NUM_CANDIDATES]
            if hidden is not None:
                row = followed.index(hidden[:step])
                log_hidden += math.log(max(float(of_target[row]), 1e-37))
                rank = int(ranks[row]) + 1
        if hidden is None:
            return Filled(beams, None, None)
        found = Candidate(hidden, math.exp(log_hidden))
        return Filled(beams, found, rank if num_masks == 1 else None)

    def _top(self, rows: list[list[int]], position: int, targets: list[int]) -> Any:
        """Return the best pieces at a position of each row, and about a target in each.

        Rows are padded to few shapes: a length of BUCKETS; 1 row, or ROWS of them.
        """
        largest = self.max_pieces + 2
        length = next((b for b in BUCKETS if len(rows[0]) <= b < largest), largest)
        num_rows = 1 if len(rows) == 1 else ROWS
        tokens = np.full((num_rows, length), self._model.tokenizer.pad_id, np.int32)
        tokens[: len(rows), : len(rows[0])] = rows
        lengths = np.zeros((num_rows, 1, 2), np.int32)
        lengths[: len(rows), 0, 0] = len(rows[0])
        wanted = np.zeros(num_rows, np.int32)
        wanted[: len(rows)] = targets
        at = np.full((num_rows, 1), position, np.int32)
        outputs = self._program(self._model.params, tokens, lengths, at, wanted, self._special)
        probabilities, ids, of_target, ranks = jax.device_get(outputs)
        return list(zip(ids, probabilities, strict=True)), of_target, ranks


def _predict(
    merge: Any,
    params: Any,
    tokens: Int[Array, "B T"],
    lengths: Int[Array, "B 1 2"],
    positions: Int[Array, "B 1"],
    targets: Int[Array, "B"],
    is_special: Any,
) -> tuple[Float[Array, "B K"], Int[Array, "B K"], Float[Array, "B"], Int[Array, "B"]]:
    """Return the best pieces of each row with their probabilities, and the target's and its rank.

    Special tokens are no candidates; their probability is not given to others.
    """
    model = merge(params)
    layout = row_layout(lengths, tokens.shape[1])
    hidden = model.bert(tokens, layout, positions=positions)
    logits = model.mlm(hidden, model.bert.embeddings.word[...])[:, 0, : is_special.shape[0]]
    probabilities = jax.nn.softmax(logits)
    of_target = jnp.take_along_axis(probabilities, targets[:, None], axis=1)
    candidates = jnp.where(is_special[None], 0.0, probabilities)
    rank = (candidates > of_target).sum(axis=1)
    best, ids = jax.lax.top_k(candidates, min(NUM_CANDIDATES, is_special.shape[0]))
    return best, ids, of_target[:, 0], rank
