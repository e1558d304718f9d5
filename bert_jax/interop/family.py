"""A family of models in Hugging Face's files: the names of weights, the fields of config.json."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from bert_jax.config import EncoderConfig

ACTIVATIONS = {  # Hugging Face's names → ours
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu",
}  # fmt: skip


class Unsupported(Exception):
    """A field of config.json has a value that the model does not compute.

    Args:
        field: the field.
        expected: what it may be.
    """

    def __init__(self, field: str, expected: str):
        super().__init__(field, expected)
        self.field, self.expected = field, expected


class Family(NamedTuple):
    """A family's names and fields.

    A part is a module of ours with its parameters kernel or scale, and bias, or one parameter.
    """

    config: type[EncoderConfig]
    """Class of its configurations, whose fields have the names of config.json."""
    prefix: str
    """Their name of the encoder in a model with a head, with a dot, such as "bert."."""
    names: Mapping[str, str | tuple[str, ...]]
    """Their name of each part of ours. "{}" stands for the number of a layer, where ours are
    stacked. Several names: the part holds several of theirs, side by side in its second axis. A
    single parameter's name ends in "embedding" or "bias"."""
    decoder: str
    """Their name of the masked-LM head's output layer, whose kernel is tied to the embeddings."""
    required: Mapping[str, Any]
    """Fields of config.json with the only value that the model computes; None is one too."""
    fields: Mapping[str, str] = MappingProxyType({})
    """Their names of the configuration's fields, where they differ."""
    first_stacked: int = 0
    """Number of the first of the stacked layers."""
    activations: tuple[str, ...] = ()
    """Fields that name an activation."""
    token_ids: Mapping[str, str] = MappingProxyType({"pad_token_id": "pad"})
    """Fields of config.json for the ids of special tokens: "pad", "cls" and "sep"."""
    read: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """Return the fields of a config.json of any version under the configuration's names; raise
    `Unsupported`."""
    write: Callable[[Any], dict[str, Any]] = lambda config: {}
    """Return further fields of config.json for a configuration."""
    positions: Callable[[Any, Array], Array] = lambda config, ids: jnp.broadcast_to(
        jnp.arange(ids.shape[1]), ids.shape
    )
    """Return the positions [B, T] that transformers gives to ids [B, T]."""

    def theirs(self, part: str) -> tuple[str, ...]:
        """Return their names of a part of ours."""
        names = self.names[part]
        return (names,) if isinstance(names, str) else names

    @property
    def all_names(self) -> tuple[str, ...]:
        """Their names of all parts."""
        return tuple(name for part in self.names for name in self.theirs(part))

    def has(self, part: str, weights: Collection[str]) -> bool:
        """Return True if weights, by their names in the flat form, have a part of ours."""
        return part in self.names and any(
            name in weights or f"{name}.kernel" in weights for name in self.theirs(part)
        )
