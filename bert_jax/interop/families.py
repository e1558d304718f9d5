"""All families of models, by `model_type`."""

from bert_jax.config import EncoderConfig
from bert_jax.interop.bert import BERT
from bert_jax.interop.distilbert import DISTILBERT
from bert_jax.interop.family import Family
from bert_jax.interop.modernbert import MODERNBERT

FAMILIES = {family.config.model_type: family for family in (BERT, MODERNBERT, DISTILBERT)}


def family_of(config: EncoderConfig) -> Family:
    """Return the family of a configuration."""
    return FAMILIES[config.model_type]
