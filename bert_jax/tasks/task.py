"""The interface of a fine-tuning task, and the objective that all tasks share.

A batch is what `labelled.batching.collate` returns: tokens [B, T] · lengths [B, J, 2] (0: no text)
· targets [B, J], or [B, T] per token.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.errors import ConfigError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.models.architectures import Head
from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.word_dropout import WordDropout, drop_words
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch, Metrics, Objective, Params

LogFunction = Callable[[str], None]
Prediction = dict[str, Any]
"""The prediction for one example, as `predict.py` writes it."""


class Comparison(NamedTuple):
    """A prediction next to the true label, as text for the report."""

    text: str
    gold: str
    predicted: str
    correct: float
    """From 0, wrong, to 1, right."""
    confidence: float
    """The model's probability of its prediction; NaN if it has none."""


class Confidences(NamedTuple):
    """Probabilities of single decisions, next to their outcomes, for the calibration."""

    of: str
    """The decisions, such as "the tag of each word"."""
    probability: np.ndarray
    """The model's probability [N] of what it predicts."""
    correct: np.ndarray
    """True where the decision is right [N]."""


class Task(Protocol):
    """One kind of task with its labels; each kind is a file in this folder."""

    kind: ClassVar[str]
    """Its name in `FinetuneConfig.task`."""
    head: ClassVar[Head]
    """Head of the model, of any family."""
    problem_type: ClassVar[str | None]
    """Hugging Face's name for the kind of outputs, where config.json needs it."""
    metric: ClassVar[str]
    """The score that selects the best checkpoint, by default."""

    @property
    def metrics(self) -> dict[str, int]:
        """All scores by name: 1 if higher is better, -1 if lower is."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model's outputs, in order."""
        ...

    @property
    def options(self) -> dict[str, Any]:
        """JSON values that a saved model needs besides its labels, for `from_labels`."""
        ...

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: LogFunction
    ) -> list[Any]:
        """Read the labelled examples of a source; rows that cannot be used are rejected."""
        ...

    @classmethod
    def from_examples(cls, examples: Sequence[Any], config: FinetuneConfig) -> "Task":
        """Return the task for some training data, with the configured labels or all that occur."""
        ...

    @classmethod
    def from_labels(
        cls, labels: tuple[str, ...], options: Mapping[str, Any] | None = None
    ) -> "Task":
        """Return the task of a saved model; `options` may hold more than this task's."""
        ...

    def accept(self, examples: Sequence[Any], rejects: Rejects) -> list[Any]:
        """Return the examples whose labels this task knows; reject the others."""
        ...

    def encode(
        self, examples: Sequence[Any], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Encode examples, each as one text or more, with targets if they have labels."""
        ...

    def num_targets(self, batch: Batch) -> Array:
        """Return the number of loss terms in a device's share of a batch, float32."""
        ...

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """Return the sum of these terms, float32."""
        ...

    def decode(
        self, examples: Sequence[Any], encoded: Sequence[EncodedText], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """Return a prediction per example from the outputs for its texts, [t, C] or [1, C] each."""
        ...

    def tune(self, examples: Sequence[Any], predictions: Sequence[Prediction]) -> "Task":
        """Return the task with what is chosen on held-out data, or itself with nothing to choose.

        Predictions are made anew, by `decode`, if it is not itself.
        """
        ...

    def score(self, examples: Sequence[Any], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the value of each of `metrics`."""
        ...

    def compare(
        self, examples: Sequence[Any], predictions: Sequence[Prediction]
    ) -> list[Comparison]:
        """Return each prediction next to its true label, for the report."""
        ...

    def class_indices(
        self, examples: Sequence[Any], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return true and predicted label indices, for a confusion matrix; None without classes."""
        ...

    def by_label(
        self, examples: Sequence[Any], predictions: Sequence[Prediction]
    ) -> dict[str, dict[str, float]]:
        """Return scores of each label by their names; {} without labels."""
        ...

    def confidences(
        self, examples: Sequence[Any], predictions: Sequence[Prediction]
    ) -> Confidences | None:
        """Return the probability and the outcome of each decision; None without probabilities."""
        ...

    def parse(self, values: dict[str, Any], place: str) -> Any:
        """Return an unlabelled example from a user's line, row or JSON object."""
        ...


def choose_metric(task: Task, metric: str | None) -> tuple[str, int]:
    """Return the score that selects the best checkpoint, and its sign: 1 if higher is better.

    Args:
        task: the task.
        metric: the configured score; None: the task's default.

    Raises:
        ConfigError: the task has no such score.
    """
    name = metric or task.metric
    if name not in task.metrics:
        raise ConfigError(
            f"metric = {name!r} is not a score of this task", f"one of {', '.join(task.metrics)}",
            "pass another --metric",
        )  # fmt: skip
    return name, task.metrics[name]


def make_finetuning_objective(
    task: Task,
    merge: Callable[[Params], Any],
    execution: Execution,
    word_dropout: WordDropout | None = None,
) -> Objective:
    """Build the objective of fine-tuning: the mean loss over all targets of the global batch.

    Args:
        task: the task.
        merge: from `init, merge = build(config)`.
        execution: dtypes and kernels.
        word_dropout: tokens of training texts to mask; None: none.
    """

    def counts(batch: Batch) -> dict[str, Array]:
        return {"targets": task.num_targets(batch)}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        if word_dropout is not None and key is not None:
            key, words_key = jax.random.split(key)
            batch = batch | {"tokens": drop_words(words_key, batch["tokens"], word_dropout)}
        total = task.loss_sum(forward(merge(params), batch, key, execution), batch)
        mean = total / jnp.maximum(counts["targets"], 1.0)
        return mean, {"loss": (total, task.num_targets(batch))}

    return Objective(lambda batch: batch, counts, loss)


def forward(model: Any, batch: Batch, key: Array | None, execution: Execution) -> Array:
    """Return the logits of each text [B, J, C], or of each token [B, T, C]."""
    layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
    return model(batch["tokens"], layout, key=key, execution=execution)


def text_mask(batch: Batch) -> Array:
    """Return 1.0 where a row has a text, else 0.0: float32 [B, J]."""
    return (batch["lengths"][..., 0] > 0).astype(jnp.float32)
