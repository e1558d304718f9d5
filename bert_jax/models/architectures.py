"""Models that can be saved and loaded, by their Hugging Face names."""

import functools
from collections.abc import Callable

from flax import nnx

from bert_jax.errors import ConfigError
from bert_jax.models.bert import Bert, BertForPreTraining
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

ARCHITECTURES: dict[str, Callable[..., nnx.Module]] = {
    "BertModel": Bert,
    "BertForPreTraining": BertForPreTraining,
    "BertForMaskedLM": BertForMaskedLM,
    "BertForSequenceClassification": BertForSequenceClassification,
    "BertForTokenClassification": BertForTokenClassification,
    "BertForQuestionAnswering": BertForQuestionAnswering,
}
WITH_LABELS = ("BertForSequenceClassification", "BertForTokenClassification")
WITH_POOLER = ("BertForPreTraining", "BertForSequenceClassification")  # which they read
BY_TOKEN = ("BertForTokenClassification", "BertForQuestionAnswering")  # scores [B, T, C]


def architecture(
    name: str, num_labels: int = 0, pooling: bool | None = None
) -> Callable[..., nnx.Module]:
    """Return a module class for `functional.build`, with its number of labels set.

    Args:
        name: one of `ARCHITECTURES`.
        num_labels: number of labels C, for those in `WITH_LABELS`.
        pooling: True or False gives the encoder a pooler or none, but for those in `WITH_POOLER`;
            None does what Hugging Face does.

    Raises:
        ConfigError: the name is not in `ARCHITECTURES`.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {name!r} is unknown",
            f"one of {', '.join(ARCHITECTURES)}",
            "convert the model to one of these, or load only its encoder",
        )
    options: dict[str, int] = {"num_labels": num_labels} if name in WITH_LABELS else {}
    if pooling is not None and name not in WITH_POOLER:
        options["pooling"] = pooling
    return functools.partial(ARCHITECTURES[name], **options)
