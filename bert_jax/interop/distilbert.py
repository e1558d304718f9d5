"""DistilBERT in Hugging Face's files."""

from bert_jax.config import DistilBertConfig
from bert_jax.interop.bert import BERT
from bert_jax.interop.family import Family

LAYER = "distilbert.transformer.layer.{}"

DISTILBERT = Family(
    config=DistilBertConfig,
    prefix="distilbert.",
    names={
        "bert.embeddings.word": "distilbert.embeddings.word_embeddings.embedding",
        "bert.embeddings.position": "distilbert.embeddings.position_embeddings.embedding",
        "bert.embeddings.norm": "distilbert.embeddings.LayerNorm",
        "bert.layers.attention.qkv": (
            f"{LAYER}.attention.q_lin",
            f"{LAYER}.attention.k_lin",
            f"{LAYER}.attention.v_lin",
        ),
        "bert.layers.attention.out": f"{LAYER}.attention.out_lin",
        "bert.layers.attention_norm": f"{LAYER}.sa_layer_norm",
        "bert.layers.feed_forward.up": f"{LAYER}.ffn.lin1",
        "bert.layers.feed_forward.down": f"{LAYER}.ffn.lin2",
        "bert.layers.feed_forward_norm": f"{LAYER}.output_layer_norm",
        "mlm.dense": "vocab_transform",
        "mlm.norm": "vocab_layer_norm",
        "mlm.bias": "vocab_projector.bias",
        "classifier.dense": "pre_classifier",
        "classifier.out_proj": "classifier",
        "classifier": "classifier",
        "qa_outputs": "qa_outputs",
    },
    decoder="vocab_projector",
    required=BERT.required,
    fields={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    },
    activations=("hidden_act",),
)
