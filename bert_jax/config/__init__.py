"""Configurations: frozen dataclasses, validated on construction, saved to and read from JSON."""

from bert_jax.config.albert import AlbertConfig
from bert_jax.config.decaying import decay_run
from bert_jax.config.distilbert import DistilBertConfig
from bert_jax.config.electra import ElectraConfig
from bert_jax.config.families import EncoderConfig
from bert_jax.config.files import flatten, from_dict, read_json, to_json
from bert_jax.config.finetuning import ColumnsConfig, FinetuneConfig, SearchConfig
from bert_jax.config.masking import MaskingConfig
from bert_jax.config.model import BertConfig
from bert_jax.config.modernbert import ModernBertConfig
from bert_jax.config.preparing import BeamConfig, PrepareConfig
from bert_jax.config.pretraining import (
    Phase,
    PhaseSpan,
    PretrainConfig,
    divide_steps,
    length_changes,
    phase_at,
    phase_spans,
    rows_read,
)
from bert_jax.config.resume import (
    MayDiffer,
    default_identity,
    fields_that_may_differ,
    resume_identity,
)
from bert_jax.config.roberta import RobertaConfig, XLMRobertaConfig
from bert_jax.config.training import LoopConfig, OptimizerConfig

__all__ = [
    "AlbertConfig",
    "BeamConfig",
    "BertConfig",
    "ColumnsConfig",
    "DistilBertConfig",
    "ElectraConfig",
    "EncoderConfig",
    "FinetuneConfig",
    "LoopConfig",
    "MaskingConfig",
    "MayDiffer",
    "ModernBertConfig",
    "OptimizerConfig",
    "Phase",
    "PhaseSpan",
    "PrepareConfig",
    "PretrainConfig",
    "RobertaConfig",
    "SearchConfig",
    "XLMRobertaConfig",
    "decay_run",
    "default_identity",
    "divide_steps",
    "fields_that_may_differ",
    "flatten",
    "from_dict",
    "length_changes",
    "phase_at",
    "phase_spans",
    "read_json",
    "resume_identity",
    "rows_read",
    "to_json",
]
