"""Models that can be saved and loaded, by their Hugging Face names.

A name is a family's, such as "Bert", and a head: `BertForMaskedLM`. The models of all families have
their encoder as `bert`, whose word embeddings are `bert.embeddings.word`, the head that predicts
masked tokens as `mlm`, and are called as `model(tokens, layout, mask=…, key=…, execution=…)`; the
encoder and `ForMaskedLM` take `positions` too. An encoder's `trace` shows what its layers compute.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

from flax import nnx

from bert_jax.config import EncoderConfig
from bert_jax.errors import ConfigError
from bert_jax.models.albert import ALBERT_MODELS
from bert_jax.models.distilbert import DISTILBERT_MODELS
from bert_jax.models.electra import ELECTRA_MODELS
from bert_jax.models.functional import Params
from bert_jax.models.modernbert import MODERNBERT_MODELS
from bert_jax.models.roberta import ROBERTA_MODELS, XLM_ROBERTA_MODELS
from bert_jax.models.task_heads import BERT_MODELS

Head = Literal[
    "Model",
    "ForPreTraining",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
]
"""What a model computes: with "Model", the vectors of tokens alone."""
ARCHITECTURES: dict[str, Callable[..., nnx.Module]] = {
    **BERT_MODELS,
    **MODERNBERT_MODELS,
    **DISTILBERT_MODELS,
    **ROBERTA_MODELS,
    **XLM_ROBERTA_MODELS,
    **ELECTRA_MODELS,
    **ALBERT_MODELS,
}


def head_of(name: str) -> Head:
    """Return the head of one of `ARCHITECTURES`."""
    return next(head for head in get_args(Head) if name.endswith(head))


def _with_heads(*heads: Head) -> tuple[str, ...]:
    return tuple(name for name in ARCHITECTURES if head_of(name) in heads)


ENCODERS = _with_heads("Model")
WITH_LABELS = _with_heads("ForSequenceClassification", "ForTokenClassification")
WITH_POOLER = tuple(
    name for name, model in ARCHITECTURES.items() if getattr(model, "pooler_use", None) == "needed"
)
BY_TOKEN: tuple[Head, ...] = ("ForTokenClassification", "ForQuestionAnswering")  # [B, T, C]


def architecture_of(config: EncoderConfig, head: Head) -> str:
    """Return the name of the model of a configuration's family with a head.

    Raises:
        ConfigError: the family has no such model.
    """
    name = f"{config.family}{head}"
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"there is no {name}",
            f"one of {', '.join(x for x in ARCHITECTURES if x.startswith(config.family))}",
            "choose another model",
        )
    return name


def architecture(
    name: str, num_labels: int = 0, pooling: bool | None = None
) -> Callable[..., nnx.Module]:
    """Return a module class for `functional.build`, with its number of labels set.

    Args:
        name: one of `ARCHITECTURES`.
        num_labels: number of labels C, for those in `WITH_LABELS`.
        pooling: True or False gives the encoder a pooler or none, where it may have one but does
            not need it; None does what Hugging Face does.

    Raises:
        ConfigError: the name is not in `ARCHITECTURES`.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {name!r} is unknown",
            f"one of {', '.join(ARCHITECTURES)}",
            "convert the model to one of these, or load only its encoder",
        )
    model = ARCHITECTURES[name]
    options: dict[str, int] = {"num_labels": num_labels} if name in WITH_LABELS else {}
    if pooling is not None and getattr(model, "pooler_use", None) == "optional":
        options["pooling"] = pooling
    return functools.partial(model, **options)


def encoder_of(model: Any) -> Any:
    """Return the encoder of a model, which may be one itself."""
    return getattr(model, "bert", model)


def with_encoder(params: Params) -> Params:
    """Return the parameters of a model with its encoder under "bert", where an encoder has it."""
    return params if "bert" in params else {"bert": params}


def trained_parts(params: Params) -> Params:
    """Return the parameters of a model that one with another head starts from.

    They are those of the encoder, and those of the dense layer "head" that all heads of some
    families begin with, the masked-LM head included.
    """
    head = params.get("head", params.get("mlm", {}))
    shared = {name: part for name, part in head.items() if name != "bias"}
    return {"bert": with_encoder(params)["bert"], "head": shared}
