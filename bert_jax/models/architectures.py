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
BY_TOKEN = ("BertForTokenClassification", "BertForQuestionAnswering")  # scores [B, T, C]


def architecture(name: str, num_labels: int = 0, pooling: bool = True) -> Callable[..., nnx.Module]:
    """Return a module class for `functional.build`, with its number of labels set.

    Args:
        name: one of `ARCHITECTURES`.
        num_labels: number of labels C, for those in `WITH_LABELS`.
        pooling: False gives a `BertModel` without its pooler.

    Raises:
        ConfigError: the name is not in `ARCHITECTURES`.
    """
    if name == "BertModel" and not pooling:
        return functools.partial(Bert, pooling=False)
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {name!r} is unknown",
            f"one of {', '.join(ARCHITECTURES)}",
            "convert the model to one of these, or load only its encoder",
        )
    model = ARCHITECTURES[name]
    return functools.partial(model, num_labels=num_labels) if name in WITH_LABELS else model
