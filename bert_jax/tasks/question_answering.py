"""Extractive question answering: SQuAD, KorQuAD (Devlin et al. 2019, sections 4.2 and 4.3)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import Question, read_squad
from bert_jax.nn.layout import gather_positions, row_layout
from bert_jax.tasks.squad_metrics import exact_match, overlap_f1
from bert_jax.tasks.task import Comparison, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch

STRIDE = 128  # tokens between the starts of two windows, at most half of a window
MAX_QUESTION = 64  # tokens
MAX_ANSWER = 30  # tokens
N_BEST = 20
MASKED = -1e30  # logit of what is excluded


@dataclasses.dataclass(frozen=True)
class QuestionAnswering:
    """Logits of start and end for each token; [CLS] stands for "no answer in this window"."""

    labels: tuple[str, ...] = ()
    kind: ClassVar[str] = "question_answering"
    architecture: ClassVar[str] = "BertForQuestionAnswering"
    metric: ClassVar[str] = "f1"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; higher is better."""
        return {"f1": 1, "exact_match": 1, "f1_characters": 1, "exact_match_korquad": 1}

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[Question]:
        """Read SQuAD's JSON."""
        questions = read_squad(source, rejects)
        without = sum(not question.label for question in questions)
        log(f"{source}: SQuAD; {len(questions):,} questions, {without:,} of them without an answer")
        return questions

    @classmethod
    def from_examples(
        cls, examples: Sequence[Question], config: FinetuneConfig
    ) -> "QuestionAnswering":
        """Return the task; it has two outputs, whatever the data."""
        return cls()

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "QuestionAnswering":
        """Return the task of a saved model."""
        return cls()

    def accept(self, examples: Sequence[Question], rejects: Rejects) -> list[Question]:
        """Accept every question."""
        return list(examples)

    def encode(
        self, examples: Sequence[Question], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode [CLS] question [SEP] passage [SEP], in overlapping windows over a long passage."""
        questions = tokenizer.encode_batch([example.question for example in examples])
        passages = _encode_passages([example.context for example in examples], tokenizer)
        encoded = []
        for index, (example, question) in enumerate(zip(examples, questions, strict=True)):
            ids, starts, ends = passages[example.context]
            head = [tokenizer.cls_id, *question[: min(MAX_QUESTION, max_length // 2)]]
            head.append(tokenizer.sep_id)
            room = max_length - len(head) - 1
            answer = _token_span(example, starts, ends)
            for first in _window_starts(len(ids), room):
                part = slice(first, first + room)
                tokens = [*head, *ids[part], tokenizer.sep_id]
                targets: dict[str, Any] = {
                    "char_start": [-1] * len(head) + [*starts[part], -1],
                    "char_end": [-1] * len(head) + [*ends[part], -1],
                }
                if example.label is not None:
                    inside = answer and first <= answer[0] and answer[1] < first + room
                    shift = len(head) - first
                    targets["start"] = answer[0] + shift if answer and inside else 0
                    targets["end"] = answer[1] + shift if answer and inside else 0
                encoded.append(EncodedText(tokens, len(head), targets, index))
        return encoded

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of windows."""
        return text_mask(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return Σ over windows of the mean cross-entropy of start and end over their tokens."""
        layout = row_layout(batch["lengths"], outputs.shape[1])
        windows = 1 + jnp.arange(layout.starts.shape[1])
        is_own_BTJ = layout.sequence_ids[:, :, None] == windows[None, None, :]
        losses_BJ = jnp.zeros(layout.starts.shape)
        for i, name in enumerate(("start", "end")):
            logits_BT = outputs[..., i]
            gold_BJ = gather_positions(logits_BT, layout.starts + batch[name])
            logits_BTJ = jnp.where(is_own_BTJ, logits_BT[..., None], MASKED)
            losses_BJ += (jax.nn.logsumexp(logits_BTJ, axis=1) - gold_BJ) / 2
        return (text_mask(batch) * losses_BJ).sum()

    def decode(
        self,
        examples: Sequence[Question],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Return the best answers over all windows, and the margin of "none" over the best one.

        A span's score is the sum of the logits of start and end (`run_squad.py`,
        `write_predictions`), from the window where its first token has the most context.
        Probabilities are a softmax over the N_BEST spans and "none".
        """
        scores: list[dict[tuple[int, int], float]] = [{} for _ in examples]
        none_scores = [np.inf] * len(examples)
        windows: list[list[tuple[EncodedText, np.ndarray]]] = [[] for _ in examples]
        for text, output in zip(encoded, outputs, strict=True):
            windows[text.example].append((text, output))
        for index, of_example in enumerate(windows):
            sizes = [len(text.tokens) - text.first_length - 1 for text, _ in of_example]
            starts = [i * _step(sizes[0]) for i in range(len(sizes))]
            best_window = most_context(starts, sizes)
            for i, (text, output) in enumerate(of_example):
                none_scores[index] = min(none_scores[index], float(output[0].sum()))
                may_start = best_window[starts[i] : starts[i] + sizes[i]] == i
                # Pieces of one syllable cover the same characters: keep the better span.
                for score, start, end in _best_spans(text, output, may_start):
                    known = scores[index].get((start, end), MASKED)
                    scores[index][start, end] = max(score, known)
        predictions = []
        for example, of_spans, none_score in zip(examples, scores, none_scores, strict=True):
            spans = sorted(((s, *span) for span, s in of_spans.items()), reverse=True)[:N_BEST]
            probabilities = scipy.special.softmax([*(score for score, _, _ in spans), none_score])
            answers = [
                {"text": example.context[start:end], "start": start, "end": end, "probability": p}
                for (_, start, end), p in zip(spans, probabilities[:-1].tolist(), strict=True)
            ]
            best = answers[0] if answers else {"text": "", "start": 0, "end": 0, "probability": 0.0}
            predictions.append(
                {
                    **best,
                    "none_probability": float(probabilities[-1]),
                    "none_margin": none_score - (spans[0][0] if spans else MASKED),
                    "n_best": answers[:5],
                }
            )
        return predictions

    def score(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Return exact match and F1 by SQuAD's rules, and by KorQuAD's.

        If some questions of the file have no answer, "none" is predicted at a margin above 0.
        """
        answers = self._answers(examples, predictions)

        def mean_best(compare: Callable[[str, str, bool], float], korquad: bool) -> float:
            best = [
                max(compare(predicted, gold, korquad) for gold in golds)
                for golds, predicted in answers
            ]
            return float(np.mean(best))

        return {
            "f1": mean_best(overlap_f1, False),
            "exact_match": mean_best(exact_match, False),
            "f1_characters": mean_best(overlap_f1, True),
            "exact_match_korquad": mean_best(exact_match, True),
        }

    def compare(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return the F1 of each answer, with the probability of its span."""
        return [
            Comparison(
                f"{example.question} | {example.context}",
                " / ".join(dict.fromkeys(golds)),
                predicted,
                max(overlap_f1(predicted, gold) for gold in golds),
                p["probability"] if predicted else p["none_probability"],
            )
            for example, p, (golds, predicted) in zip(
                examples, predictions, self._answers(examples, predictions), strict=True
            )
        ]

    def class_indices(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> None:
        """Return None: there are no classes."""

    def _answers(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> list[tuple[list[str], str]]:
        """Return the accepted answers of each question and the predicted one, "" for none."""
        return [
            (
                [answer.text for answer in example.label or ()] or [""],
                "" if example.may_be_none and p["none_margin"] > 0 else p["text"],
            )
            for example, p in zip(examples, predictions, strict=True)
        ]

    def parse(self, values: dict[str, Any], place: str) -> Question:
        """Return a question with its passage."""
        question, context = values.get("question"), values.get("context", values.get("passage"))
        if not isinstance(question, str) or not isinstance(context, str):
            raise DataError(
                f"{place}: no question or no passage in {str(values)[:80]}",
                'texts under "question" and "context"',
                "rename the columns or keys",
            )
        return Question(place, question, context)


def most_context(starts: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Return, for each token of a passage, the index of the window with most context around it.

    The context is the smaller number of tokens on its two sides, plus a hundredth of the window's
    size; the first window wins a tie (`run_squad.py`, `_check_is_max_context`).

    Args:
        starts: the first token of each window.
        sizes: tokens in each window.
    """
    start, size = np.array(starts)[:, None], np.array(sizes)[:, None]
    position = np.arange((start + size).max())[None] - start  # in each window [W, S]
    context = np.minimum(position, size - 1 - position) + 0.01 * size
    is_inside = (position >= 0) & (position < size)
    return np.where(is_inside, context, -1.0).argmax(axis=0)


def _best_spans(
    text: EncodedText, output: np.ndarray, may_start: np.ndarray
) -> list[tuple[float, int, int]]:
    """Return the N_BEST spans of one window: score, first character, last character + 1."""
    starts, ends = np.array(text.targets["char_start"]), np.array(text.targets["char_end"])
    logits = output[: len(starts)].astype(np.float64)
    usable = np.pad(may_start, (text.first_length, 1)), starts >= 0
    first, last = (np.where(usable[i], logits[:, i], MASKED) for i in (0, 1))
    sums = first[:, None] + last[None, :]
    length = np.arange(len(starts))[None, :] - np.arange(len(starts))[:, None]
    sums = np.where((length >= 0) & (length < MAX_ANSWER), sums, MASKED)
    order = np.argsort(-sums, axis=None, kind="stable")[:N_BEST]
    pairs = zip(*np.unravel_index(order, sums.shape), strict=True)
    return [
        (float(sums[i, j]), int(starts[i]), int(ends[j])) for i, j in pairs if sums[i, j] > MASKED
    ]


def _encode_passages(
    contexts: Sequence[str], tokenizer: Tokenizer
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Return for each distinct passage its ids, and each token's first and last + 1 character."""
    distinct = list(dict.fromkeys(contexts))
    return dict(zip(distinct, tokenizer.encode_with_offsets(distinct), strict=True))


def _token_span(
    example: Question, starts: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """Return the first and last token of the first answer; None without an answer."""
    if not example.label:
        return None
    answer = example.label[0]
    stop = answer.start + len(answer.text)
    first = int(np.searchsorted(ends, answer.start, side="right"))
    last = int(np.searchsorted(starts, stop, side="left")) - 1
    return (first, last) if first <= last else None


def _window_starts(size: int, room: int) -> list[int]:
    """Return where windows over a passage start, a step apart, until one reaches the end."""
    starts = [0]
    while starts[-1] + room < size:
        starts.append(starts[-1] + _step(room))
    return starts


def _step(room: int) -> int:
    """Return the tokens between the starts of two windows of `room` tokens."""
    return min(STRIDE, max(1, room // 2))
