"""Every configuration as a frozen dataclass: validated when built, saved to and read from JSON."""

from bert_jax.config.copying import (
    AddressingConfig,
    CopyTaskConfig,
    MemoryTaskConfig,
    NTMConfig,
)
from bert_jax.config.files import flatten, from_dict, read_json, to_json
from bert_jax.config.finetuning import ColumnsConfig, FinetuneConfig
from bert_jax.config.models import (
    BertConfig,
    GNMTConfig,
    Seq2SeqConfig,
    TransformerConfig,
    TranslationModelConfig,
)
from bert_jax.config.preparing import BeamConfig, PrepareConfig
from bert_jax.config.pretraining import (
    MaskingConfig,
    Phase,
    PhaseSpan,
    PretrainConfig,
    length_changes,
    phase_at,
    phase_spans,
)
from bert_jax.config.training import LoopConfig, OptimizerConfig
from bert_jax.config.translating import SearchConfig, TranslateConfig

__all__ = [
    "AddressingConfig",
    "BeamConfig",
    "BertConfig",
    "ColumnsConfig",
    "CopyTaskConfig",
    "FinetuneConfig",
    "GNMTConfig",
    "LoopConfig",
    "MaskingConfig",
    "MemoryTaskConfig",
    "NTMConfig",
    "OptimizerConfig",
    "Phase",
    "PhaseSpan",
    "PrepareConfig",
    "PretrainConfig",
    "SearchConfig",
    "Seq2SeqConfig",
    "TransformerConfig",
    "TranslateConfig",
    "TranslationModelConfig",
    "flatten",
    "from_dict",
    "length_changes",
    "phase_at",
    "phase_spans",
    "read_json",
    "to_json",
]
