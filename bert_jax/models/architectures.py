"""The models that can be saved and loaded, under the names that Hugging Face gives them."""

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
    """A module class for `functional.build`, its number of scores set where it has one.

    Args:
        name: one of `ARCHITECTURES`.
        num_labels: scores C, for those in `WITH_LABELS`.
        pooling: False gives a `BertModel` without its pooler.

    Raises:
        ConfigError: the name is not among `ARCHITECTURES`.
    """
    if name == "BertModel" and not pooling:
        return functools.partial(Bert, pooling=False)
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {name!r} is unknown",
            f"one of {', '.join(ARCHITECTURES)}",
            "convert the model to one of these, or load its encoder alone",
        )
    model = ARCHITECTURES[name]
    return functools.partial(model, num_labels=num_labels) if name in WITH_LABELS else model
