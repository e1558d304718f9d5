"""Where in a passage the answer stands (Devlin et al. 2019, sections 4.2 and 4.3)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.squad import Question, read_squad
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import DataError
from bert_jax.nn.layout import gather_positions, row_layout
from bert_jax.tasks.answers import exact_match, overlap_f1
from bert_jax.tasks.task import Prediction, Rated, Say, is_text
from bert_jax.training.step import Batch

STRIDE = 128  # tokens between the starts of two windows, where there is room for so many
MAX_QUESTION = 64
MAX_ANSWER = 30
N_BEST = 20
FAR = -1e30


@dataclasses.dataclass(frozen=True)
class QuestionAnswering:
    """Scores of start and end for each token; [CLS] stands for "no answer here"."""

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
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
    ) -> list[Question]:
        """SQuAD's JSON."""
        questions = read_squad(source, rejects)
        without = sum(not question.label for question in questions)
        say(f"{source}: SQuAD; {len(questions):,} questions, {without:,} of them without an answer")
        return questions

    @classmethod
    def from_examples(
        cls, examples: Sequence[Question], config: FinetuneConfig
    ) -> "QuestionAnswering":
        """There are two outputs, whatever the data."""
        return cls()

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "QuestionAnswering":
        """The task of a saved model."""
        return cls()

    def accept(self, examples: Sequence[Question], rejects: Rejects) -> list[Question]:
        """Every question can be used."""
        return list(examples)

    def encode(
        self, examples: Sequence[Question], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """[CLS] question [SEP] passage [SEP]; a long passage comes in overlapping windows."""
        questions = tokenizer.encode_batch([example.question for example in examples])
        passages = _encode_passages([example.context for example in examples], tokenizer)
        encoded = []
        for number, (example, question) in enumerate(zip(examples, questions, strict=True)):
            ids, starts, ends = passages[example.context]
            head = [tokenizer.cls_id, *question[: min(MAX_QUESTION, max_length // 2)]]
            head.append(tokenizer.sep_id)
            room = max_length - len(head) - 1
            wanted = _token_span(example, starts, ends)
            for first in _window_starts(len(ids), room):
                part = slice(first, first + room)
                tokens = [*head, *ids[part], tokenizer.sep_id]
                targets: dict[str, Any] = {
                    "char_start": [-1] * len(head) + [*starts[part], -1],
                    "char_end": [-1] * len(head) + [*ends[part], -1],
                }
                if example.label is not None:
                    inside = wanted and first <= wanted[0] and wanted[1] < first + room
                    shift = len(head) - first
                    targets["start"] = wanted[0] + shift if wanted and inside else 0
                    targets["end"] = wanted[1] + shift if wanted and inside else 0
                encoded.append(EncodedText(tokens, len(head), targets, number))
        return encoded

    def num_targets(self, batch: Batch) -> Array:
        """Windows that are there."""
        return is_text(batch).sum()

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Σ over windows of the mean cross-entropy of start and end over all tokens."""
        layout = row_layout(batch["lengths"], outputs.shape[1])
        windows = 1 + jnp.arange(layout.starts.shape[1])
        is_own_BTJ = layout.sequence_ids[:, :, None] == windows[None, None, :]
        losses_BJ = jnp.zeros(layout.starts.shape)
        for i, name in enumerate(("start", "end")):
            scores_BT = outputs[..., i]
            right_BJ = gather_positions(scores_BT, layout.starts + batch[name])
            scores_BTJ = jnp.where(is_own_BTJ, scores_BT[..., None], FAR)
            losses_BJ += (jax.nn.logsumexp(scores_BTJ, axis=1) - right_BJ) / 2
        return (is_text(batch) * losses_BJ).sum()

    def decode(
        self,
        examples: Sequence[Question],
        encoded: Sequence[EncodedText],
        outputs: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """The best answers over all windows, and how much better than "none" the best one is.

        A score is the sum of start's and end's (`run_squad.py`, `write_predictions`). A span counts
        in the window where its first token has the most context. Probabilities are a softmax over
        the best N_BEST and "none".
        """
        found: list[dict[tuple[int, int], float]] = [{} for _ in examples]
        none = [np.inf] * len(examples)
        windows: list[list[tuple[EncodedText, np.ndarray]]] = [[] for _ in examples]
        for text, output in zip(encoded, outputs, strict=True):
            windows[text.example].append((text, output))
        for number, of_example in enumerate(windows):
            sizes = [len(text.tokens) - text.first - 1 for text, _ in of_example]
            starts = [i * _step(sizes[0]) for i in range(len(sizes))]
            best_window = most_context(starts, sizes)
            for i, (text, output) in enumerate(of_example):
                none[number] = min(none[number], float(output[0].sum()))
                may_start = best_window[starts[i] : starts[i] + sizes[i]] == i
                # Pieces of one syllable stand at the same characters: the better span counts.
                for score, start, end in _best_spans(text, output, may_start):
                    found[number][start, end] = max(score, found[number].get((start, end), FAR))
        predictions = []
        for example, scored, null in zip(examples, found, none, strict=True):
            spans = sorted(((s, *place) for place, s in scored.items()), reverse=True)[:N_BEST]
            weights = scipy.special.softmax([*(score for score, _, _ in spans), null])
            answers = [
                {"text": example.context[start:end], "start": start, "end": end, "probability": p}
                for (_, start, end), p in zip(spans, weights[:-1].tolist(), strict=True)
            ]
            best = answers[0] if answers else {"text": "", "start": 0, "end": 0, "probability": 0.0}
            predictions.append(
                {
                    **best,
                    "none_probability": float(weights[-1]),
                    "none_margin": null - (spans[0][0] if spans else FAR),
                    "n_best": answers[:5],
                }
            )
        return predictions

    def score(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Exact match and F1 as SQuAD's script has them, and as KorQuAD's has them.

        Where some questions of the file have no answer, "none" is said when its margin is above 0.
        """
        answers = self._answers(examples, predictions)

        def mean_best(compare: Callable[[str, str, bool], float], korquad: bool) -> float:
            best = [max(compare(said, gold, korquad) for gold in golds) for golds, said in answers]
            return float(np.mean(best))

        return {
            "f1": mean_best(overlap_f1, False),
            "exact_match": mean_best(exact_match, False),
            "f1_characters": mean_best(overlap_f1, True),
            "exact_match_korquad": mean_best(exact_match, True),
        }

    def rate(self, examples: Sequence[Question], predictions: Sequence[Prediction]) -> list[Rated]:
        """F1 of each answer, with the probability of the span."""
        return [
            Rated(
                f"{example.question} | {example.context}",
                " / ".join(dict.fromkeys(golds)),
                said,
                max(overlap_f1(said, gold) for gold in golds),
                p["probability"] if said else p["none_probability"],
            )
            for example, p, (golds, said) in zip(
                examples, predictions, self._answers(examples, predictions), strict=True
            )
        ]

    def classes(self, examples: Sequence[Question], predictions: Sequence[Prediction]) -> None:
        """There are none."""

    def _answers(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> list[tuple[list[str], str]]:
        """The true answers of each question, "" for none, and what is said."""
        return [
            (
                [answer.text for answer in example.label or ()] or [""],
                "" if example.may_be_none and p["none_margin"] > 0 else p["text"],
            )
            for example, p in zip(examples, predictions, strict=True)
        ]

    def parse(self, values: dict[str, Any], place: str) -> Question:
        """A question and its passage."""
        question, context = values.get("question"), values.get("context", values.get("passage"))
        if not isinstance(question, str) or not isinstance(context, str):
            raise DataError(
                f"{place}: no question or no passage in {str(values)[:80]}",
                'texts under "question" and "context"',
                "name them so",
            )
        return Question(place, question, context)


def most_context(starts: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """For each token of a passage the number of the window in which it has the most context.

    That is the smaller number of tokens on its two sides, and a hundredth of the window's size
    beside it; of equals the first window has it (`run_squad.py`, `_check_is_max_context`).

    Args:
        starts: the first token of each window.
        sizes: how many tokens each window holds.
    """
    start, size = np.array(starts)[:, None], np.array(sizes)[:, None]
    place = np.arange((start + size).max())[None] - start  # in each window [W, S]
    context = np.minimum(place, size - 1 - place) + 0.01 * size
    is_inside = (place >= 0) & (place < size)
    return np.where(is_inside, context, -1.0).argmax(axis=0)


def _best_spans(
    text: EncodedText, output: np.ndarray, may_start: np.ndarray
) -> list[tuple[float, int, int]]:
    """The N_BEST spans of one window: score, first character, last character + 1."""
    starts, ends = np.array(text.targets["char_start"]), np.array(text.targets["char_end"])
    scores = output[: len(starts)].astype(np.float64)
    usable = np.pad(may_start, (text.first, 1)), starts >= 0
    first, last = (np.where(usable[i], scores[:, i], FAR) for i in (0, 1))
    sums = first[:, None] + last[None, :]
    length = np.arange(len(starts))[None, :] - np.arange(len(starts))[:, None]
    sums = np.where((length >= 0) & (length < MAX_ANSWER), sums, FAR)
    order = np.argsort(-sums, axis=None, kind="stable")[:N_BEST]
    pairs = zip(*np.unravel_index(order, sums.shape), strict=True)
    return [(float(sums[i, j]), int(starts[i]), int(ends[j])) for i, j in pairs if sums[i, j] > FAR]


def _encode_passages(
    contexts: Sequence[str], tokenizer: Tokenizer
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Ids of each different passage, with the first and last + 1 character of each piece."""
    different = list(dict.fromkeys(contexts))
    return dict(zip(different, tokenizer.encode_with_offsets(different), strict=True))


def _token_span(
    example: Question, starts: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """First and last token of the first answer; None where there is none."""
    if not example.label:
        return None
    answer = example.label[0]
    stop = answer.start + len(answer.text)
    first = int(np.searchsorted(ends, answer.start, side="right"))
    last = int(np.searchsorted(starts, stop, side="left")) - 1
    return (first, last) if first <= last else None


def _window_starts(size: int, room: int) -> list[int]:
    """Where windows over a passage start: some tokens apart, until one reaches the end."""
    starts = [0]
    while starts[-1] + room < size:
        starts.append(starts[-1] + _step(room))
    return starts


def _step(room: int) -> int:
    """Tokens between the starts of two windows that hold so many."""
    return min(STRIDE, max(1, room // 2))
