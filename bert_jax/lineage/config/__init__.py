"""Configurations of the models that preceded BERT, and of their runs."""

from bert_jax.lineage.config.copying import (
    AddressingConfig,
    CopyTaskConfig,
    MemoryTaskConfig,
    NTMConfig,
)
from bert_jax.lineage.config.models import (
    GNMTConfig,
    Seq2SeqConfig,
    TransformerConfig,
    TranslationModelConfig,
)
from bert_jax.lineage.config.translation import (
    SearchConfig,
    TrainTranslatorConfig,
)

__all__ = [
    "AddressingConfig",
    "CopyTaskConfig",
    "GNMTConfig",
    "MemoryTaskConfig",
    "NTMConfig",
    "SearchConfig",
    "Seq2SeqConfig",
    "TrainTranslatorConfig",
    "TransformerConfig",
    "TranslationModelConfig",
]
