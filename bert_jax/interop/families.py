"""All families of models, by `model_type`."""

from bert_jax.config import EncoderConfig
from bert_jax.interop.albert import ALBERT
from bert_jax.interop.bert import BERT
from bert_jax.interop.distilbert import DISTILBERT
from bert_jax.interop.electra import ELECTRA
from bert_jax.interop.family import Family
from bert_jax.interop.modernbert import MODERNBERT
from bert_jax.interop.roberta import ROBERTA, XLM_ROBERTA

FAMILIES = {
    family.config.model_type: family
    for family in (BERT, MODERNBERT, DISTILBERT, ROBERTA, XLM_ROBERTA, ELECTRA, ALBERT)
}


def family_of(config: EncoderConfig) -> Family:
    """Return the family of a configuration."""
    return FAMILIES[config.model_type]
