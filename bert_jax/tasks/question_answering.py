"""Extractive question answering: SQuAD, KorQuAD (Devlin et al. 2019, sections 4.2 and 4.3)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import Question, read_squad
from bert_jax.models.architectures import Head
from bert_jax.nn.layout import gather_positions, row_layout
from bert_jax.tasks.answer_spans import (
    MASKED,
    N_BEST,
    best_spans,
    encode_passages,
    most_context,
    token_span,
    window_starts,
    window_step,
)
from bert_jax.tasks.squad_metrics import exact_match, overlap_f1
from bert_jax.tasks.task import Comparison, Confidences, LogFunction, Prediction, text_mask
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch

MAX_QUESTION = 64  # tokens
MAX_STRIDE = 1 << 20


@dataclasses.dataclass(frozen=True)
class QuestionAnswering:
    """Logits of start and end for each token; [CLS] stands for "no answer in this window"."""

    labels: tuple[str, ...] = ()
    stride: int | None = None
    """As `FinetuneConfig.stride`."""
    kind: ClassVar[str] = "question_answering"
    head: ClassVar[Head] = "ForQuestionAnswering"
    problem_type: ClassVar[str | None] = None
    metric: ClassVar[str] = "f1"

    @property
    def metrics(self) -> dict[str, int]:
        """All scores; higher is better."""
        return {"f1": 1, "exact_match": 1, "f1_characters": 1, "exact_match_korquad": 1}

    @property
    def options(self) -> dict[str, Any]:
        """The stride, if it was configured."""
        return {} if self.stride is None else {"stride": self.stride}

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
        return cls(stride=config.stride)

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "QuestionAnswering":
        """Return the task of a saved model."""
        stride = (options or {}).get("stride")
        if stride is not None and not (isinstance(stride, int) and 1 <= stride <= MAX_STRIDE):
            raise ConfigError(
                f"the model's stride is {str(stride)[:80]}",
                f"a number of tokens from 1 to {MAX_STRIDE}",
                "restore bert_jax.json",
            )
        return cls(stride=stride)

    def accept(self, examples: Sequence[Question], rejects: Rejects) -> list[Question]:
        """Accept every question."""
        return list(examples)

    def encode(
        self, examples: Sequence[Question], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode [CLS] question [SEP] passage [SEP], in overlapping windows over a long passage."""
        questions = tokenizer.encode_batch([example.question for example in examples])
        passages = encode_passages([example.context for example in examples], tokenizer)
        encoded = []
        for index, (example, question) in enumerate(zip(examples, questions, strict=True)):
            ids, starts, ends = passages[example.context]
            size = min(MAX_QUESTION, max_length // 2 - len(tokenizer.between))
            head = tokenizer.join(question[:size])
            before = [*head, *tokenizer.between]  # what precedes the passage
            is_cut = len(question) > size
            room = max_length - len(before) - 1
            answer = token_span(example, starts, ends)
            for first in window_starts(len(ids), room, self.stride):
                part = slice(first, first + room)
                tokens = tokenizer.join(question[:size], ids[part])
                targets: dict[str, Any] = {
                    "char_start": [-1] * len(before) + [*starts[part], -1],
                    "char_end": [-1] * len(before) + [*ends[part], -1],
                }
                if example.label is not None:
                    inside = answer and first <= answer[0] and answer[1] < first + room
                    shift = len(before) - first
                    targets["start"] = answer[0] + shift if answer and inside else 0
                    targets["end"] = answer[1] + shift if answer and inside else 0
                encoded.append(EncodedText(tokens, len(head), targets, index, is_cut))
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
            sizes = [
                sum(start >= 0 for start in text.targets["char_start"]) for text, _ in of_example
            ]
            starts = [i * window_step(sizes[0], self.stride) for i in range(len(sizes))]
            best_window = most_context(starts, sizes)
            for i, (text, output) in enumerate(of_example):
                none_scores[index] = min(none_scores[index], float(output[0].sum()))
                may_start = best_window[starts[i] : starts[i] + sizes[i]] == i
                # Pieces of one syllable cover the same characters: keep the better span.
                for score, start, end in best_spans(text, output, may_start):
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

    def tune(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> "QuestionAnswering":
        """Return the task: there is nothing to choose."""
        return self

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

    def by_label(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return {}: there are no labels."""
        return {}

    def confidences(
        self, examples: Sequence[Question], predictions: Sequence[Prediction]
    ) -> Confidences:
        """Return the probability of each answer, and whether it is one that is accepted (F1 1)."""
        rows = self.compare(examples, predictions)
        probability = np.array([row.confidence for row in rows])
        correct = np.array([row.correct > 0.999 for row in rows])
        return Confidences("the answer to each question", probability, correct)

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
        is_text = isinstance(question, str) and isinstance(context, str)
        if not is_text or not question.strip() or not context.strip():
            raise DataError(
                f"{place}: no question or no passage in {str(values)[:80]}",
                'texts under "question" and "context"',
                "rename the columns or keys",
            )
        return Question(place, question, context)
