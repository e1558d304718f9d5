"""The kinds of fine-tuning tasks by name; a new one is a file in this folder and a line here."""

from typing import Any

from bert_jax.errors import ConfigError
from bert_jax.models.architectures import Head, head_of
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.multilabel import MultiLabel
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task import Task

KINDS: dict[str, type[Task]] = {
    kind.kind: kind for kind in (Classification, Regression, MultiLabel, Tagging, QuestionAnswering)
}


def restore_task(
    architecture: str,
    labels: tuple[str, ...],
    problem_type: str | None,
    saved: dict[str, Any] | None,
) -> Task | None:
    """Return the task that a saved model was fine-tuned for; None for an encoder.

    Args:
        architecture: one of `models.architectures.ARCHITECTURES`.
        labels: names of its outputs.
        problem_type: Hugging Face's, if known.
        saved: the task's "kind" and options, as saved by finetune.py; None for other models.

    Raises:
        ConfigError: a kind unknown, or of a different architecture or problem type; options
            that are invalid.
    """
    kind = (saved or {}).get("kind", _infer_kind(head_of(architecture), labels, problem_type))
    if kind is None:
        return None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(
            f"the model was fine-tuned for {kind!r}"[:200],
            f"one of {', '.join(KINDS)}",
            "update bert_jax",
        )
    head = head_of(architecture)
    if KINDS[kind].head != head:
        raise ConfigError(
            f"the model was fine-tuned for {kind!r}, but is a {architecture}",
            f"a {architecture.removesuffix(head)}{KINDS[kind].head}",
            "restore the directory's files; they do not belong together",
        )
    if (kind == MultiLabel.kind) != (problem_type == MultiLabel.problem_type):
        raise ConfigError(
            f"the model was fine-tuned for {kind!r}, but its problem_type is {problem_type!r}",
            f"{MultiLabel.problem_type!r} for {MultiLabel.kind!r}, and for nothing else",
            "restore the directory's files; they do not belong together",
        )
    return KINDS[kind].from_labels(labels, saved)


def _infer_kind(head: Head, labels: tuple[str, ...], problem_type: str | None) -> str | None:
    """Return the kind of task of a model without a saved task; None for an encoder."""
    if head == "ForSequenceClassification":
        if problem_type == MultiLabel.problem_type:
            return MultiLabel.kind
        is_number = problem_type == "regression" or len(labels) == 1
        return Regression.kind if is_number else Classification.kind
    return next((k for k, task in KINDS.items() if task.head == head), None)
