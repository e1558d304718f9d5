"""What a task contributes to fine-tuning, and the objective that all tasks share.

A batch is what `data.batching.join` makes: tokens [B, T] · lengths [B, J, 2] (0: no text) ·
targets [B, J] or by token [B, T].
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import ConfigError
from bert_jax.nn.compute import Compute
from bert_jax.nn.layout import row_layout
from bert_jax.training.step import Batch, Metrics, Objective, Params

Say = Callable[[str], None]
Prediction = dict[str, Any]
"""What is said of one example, as `predict.py` writes it."""


class Rated(NamedTuple):
    """One prediction beside the truth, for people."""

    text: str
    gold: str
    said: str
    correct: float
    """From 0, wrong, to 1, right."""
    confidence: float
    """The model's own probability of what it said; NaN where it has none."""


class Task(Protocol):
    """One kind of task on one set of labels; one file each in this folder."""

    kind: ClassVar[str]
    """Its name in `FinetuneConfig.task`."""
    architecture: ClassVar[str]
    """The model, one of `models.architectures.ARCHITECTURES`."""
    metric: ClassVar[str]
    """The score that decides what is best, unless another is named."""

    @property
    def metrics(self) -> dict[str, int]:
        """All scores: 1 where higher is better, -1 where lower is."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model's outputs, in order."""
        ...

    @classmethod
    def read(
        cls, source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
    ) -> list[Any]:
        """The labelled examples of a source; rows that cannot be used are rejected."""
        ...

    @classmethod
    def from_examples(cls, examples: Sequence[Any], config: FinetuneConfig) -> "Task":
        """The task with the labels of the training data, or those that were given."""
        ...

    @classmethod
    def from_labels(cls, labels: tuple[str, ...]) -> "Task":
        """The task of a saved model."""
        ...

    def accept(self, examples: Sequence[Any], rejects: Rejects) -> list[Any]:
        """The examples whose labels this task knows; the others are rejected."""
        ...

    def encode(
        self, examples: Sequence[Any], tokenizer: Tokenizer, max_length: int
    ) -> list[EncodedText]:
        """Examples as tokens, at least one text for each; with targets where they have labels."""
        ...

    def num_targets(self, batch: Batch) -> Array:
        """Terms of the loss in a device's share of a batch, float32."""
        ...

    def loss_sum(self, outputs: Array, batch: Batch) -> Array:
        """The sum of these terms, float32."""
        ...

    def decode(
        self, examples: Sequence[Any], encoded: Sequence[EncodedText], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """One prediction for each example from the outputs for its texts, [t, C] or [1, C] each."""
        ...

    def score(self, examples: Sequence[Any], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The value of each of `metrics`."""
        ...

    def rate(self, examples: Sequence[Any], predictions: Sequence[Prediction]) -> list[Rated]:
        """Each prediction beside the truth."""
        ...

    def classes(
        self, examples: Sequence[Any], predictions: Sequence[Prediction]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """True and guessed numbers of labels, for a confusion matrix; None without classes."""
        ...

    def parse(self, values: dict[str, Any], place: str) -> Any:
        """An example without a label, from a line or a JSON object of a user."""
        ...


def choose_metric(task: Task, wanted: str | None) -> tuple[str, int]:
    """The score that decides what is best, and its sign: times it, higher is better.

    Raises:
        ConfigError: the task has no such score.
    """
    name = wanted or task.metric
    if name not in task.metrics:
        raise ConfigError(
            f"metric = {name!r} is none of this task's", f"one of {', '.join(task.metrics)}",
            "pass another --metric",
        )  # fmt: skip
    return name, task.metrics[name]


def make_objective(task: Task, bind: Callable[[Params], Any], compute: Compute) -> Objective:
    """The task's mean loss over all targets of the global batch."""

    def counts(batch: Batch) -> dict[str, Array]:
        return {"targets": task.num_targets(batch)}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        total = task.loss_sum(forward(bind(params), batch, key, compute), batch)
        mean = total / jnp.maximum(counts["targets"], 1.0)
        return mean, {"loss": (total, task.num_targets(batch))}

    return Objective(lambda batch: batch, counts, loss)


def forward(model: Any, batch: Batch, key: Array | None, compute: Compute) -> Array:
    """Scores of each text [B, J, C], or of each token [B, T, C]."""
    layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
    return model(batch["tokens"], layout, key=key, compute=compute)


def is_text(batch: Batch) -> Array:
    """1.0 where a text is there, 0.0 where none is: float32 [B, J]."""
    return (batch["lengths"][..., 0] > 0).astype(jnp.float32)
