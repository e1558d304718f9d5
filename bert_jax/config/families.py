"""Configurations of the families of encoders; a new one is a file here, and its name below.

The rest of the library asks a configuration for these, never for its family:

- `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `max_position_embeddings`,
  `vocab_size` (None until a run starts) and `initializer_range`, fields of all;
- `model_type`, as in config.json, and `family`, with which the names of its architectures begin:
  "Bert" in BertForMaskedLM; `title`, the name in messages;
- `has_segments`, if tokens have a segment, an input of the model; `takes_pairs`, if a text may be
  a pair; `has_nsp`, if there is a head for next-sentence prediction;
- `fields_of_training`, which decide neither the shape nor the meaning of a parameter;
- `hidden_dropout_rate`, `attention_dropout_rate`, and `with_dropout` for another one;
- `kernel_stddev`, of the initial values, and `forward_flops`.
"""

from bert_jax.config.albert import AlbertConfig
from bert_jax.config.distilbert import DistilBertConfig
from bert_jax.config.electra import ElectraConfig
from bert_jax.config.model import BertConfig
from bert_jax.config.modernbert import ModernBertConfig
from bert_jax.config.roberta import RobertaConfig, XLMRobertaConfig

EncoderConfig = (
    BertConfig
    | ModernBertConfig
    | DistilBertConfig
    | RobertaConfig
    | XLMRobertaConfig
    | ElectraConfig
    | AlbertConfig
)
"""Configuration of an encoder. In JSON, `model_type` tells which; without it, BERT's."""
