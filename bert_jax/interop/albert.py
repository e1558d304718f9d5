"""ALBERT in Hugging Face's files."""

from typing import Any

from bert_jax.config import AlbertConfig
from bert_jax.interop.bert import BERT, encoder_names
from bert_jax.interop.family import Family

LAYER = "albert.encoder.albert_layer_groups.{}.albert_layers.0"


def read_fields(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; a classifier's dropout of null is that of hidden layers."""
    fields = dict(raw)
    if fields.get("classifier_dropout_prob", 0) is None:
        fields["classifier_dropout_prob"] = fields.get("hidden_dropout_prob", 0.0)
    return fields


ALBERT = Family(
    config=AlbertConfig,
    prefix="albert.",
    names={
        **encoder_names("albert."),
        "bert.embeddings.project": "albert.encoder.embedding_hidden_mapping_in",
        "bert.layers.attention.qkv": (
            f"{LAYER}.attention.query",
            f"{LAYER}.attention.key",
            f"{LAYER}.attention.value",
        ),
        "bert.layers.attention.out": f"{LAYER}.attention.dense",
        "bert.layers.attention_norm": f"{LAYER}.attention.LayerNorm",
        "bert.layers.feed_forward.up": f"{LAYER}.ffn",
        "bert.layers.feed_forward.down": f"{LAYER}.ffn_output",
        "bert.layers.feed_forward_norm": f"{LAYER}.full_layer_layer_norm",
        "bert.pooler": "albert.pooler",
        "mlm.dense": "predictions.dense",
        "mlm.norm": "predictions.LayerNorm",
        "mlm.bias": "predictions.bias",
        "classifier": "classifier",
        "qa_outputs": "qa_outputs",
    },
    decoder="predictions.decoder",
    required={**BERT.required, "inner_group_num": 1},
    fields={"classifier_dropout": "classifier_dropout_prob"},
    activations=BERT.activations,
    token_ids={"pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep"},
    read=read_fields,
    write=lambda config: {"classifier_dropout_prob": config.head_dropout_prob},  # never null
)
