"""All kinds of tasks by name; a new one is a file beside these and a line here."""

from bert_jax.tasks.classification import Classification
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task import Task

KINDS: dict[str, type[Task]] = {
    kind.kind: kind for kind in (Classification, Regression, Tagging, QuestionAnswering)
}


def kind_of(architecture: str, labels: tuple[str, ...], problem_type: str | None) -> str | None:
    """The kind of task that a model from elsewhere was trained for; None for an encoder."""
    if architecture == "BertForSequenceClassification":
        is_number = problem_type == "regression" or len(labels) == 1
        return Regression.kind if is_number else Classification.kind
    found = [name for name, kind in KINDS.items() if kind.architecture == architecture]
    return found[0] if found else None
