"""RoBERTa and XLM-R in Hugging Face's files."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from bert_jax.config import RobertaConfig, XLMRobertaConfig
from bert_jax.interop.bert import BERT, encoder_names
from bert_jax.interop.family import Family, Unsupported


def read_fields(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the number of usable positions, and transformers' defaults.

    Raises:
        Unsupported: there is no id of padding.
    """
    fields = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 1} | raw
    pad, positions = fields["pad_token_id"], raw.get("max_position_embeddings", 512)
    if isinstance(pad, bool) or not isinstance(pad, int) or pad < 0:
        raise Unsupported("pad_token_id", "the id of padding, after which positions begin")
    if isinstance(positions, int) and positions <= pad + 1:
        raise Unsupported("max_position_embeddings", f"more than pad_token_id {pad} + 1")
    is_count = isinstance(positions, int) and not isinstance(positions, bool)
    fields["max_position_embeddings"] = positions - pad - 1 if is_count else positions
    fields["pad_token_id"] = pad + 1  # under the name of `first_position`
    return fields


def count_tokens(config: RobertaConfig, ids: Int[Array, "B T"]) -> Int[Array, "B T"]:
    """Return positions as transformers numbers them: padding, wherever it stands, has none."""
    is_token = (ids != config.first_position - 1).astype(ids.dtype)
    return jnp.cumsum(is_token, axis=1) * is_token - 1


ROBERTA = Family(
    config=RobertaConfig,
    prefix="roberta.",
    names={
        **encoder_names("roberta."),
        "bert.pooler": "roberta.pooler.dense",
        "mlm.dense": "lm_head.dense",
        "mlm.norm": "lm_head.layer_norm",
        "mlm.bias": "lm_head.bias",
        "classifier.dense": "classifier.dense",
        "classifier.out_proj": "classifier.out_proj",
        "classifier": "classifier",
        "qa_outputs": "qa_outputs",
    },
    decoder="lm_head.decoder",
    required=BERT.required,
    fields={"first_position": "pad_token_id"},
    activations=BERT.activations,
    token_ids={"bos_token_id": "cls", "eos_token_id": "sep"},
    read=read_fields,
    write=lambda config: {
        "pad_token_id": config.first_position - 1,
        "max_position_embeddings": config.num_positions,
    },
    positions=count_tokens,
)
XLM_ROBERTA = ROBERTA._replace(config=XLMRobertaConfig)
