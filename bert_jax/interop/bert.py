"""BERT in Hugging Face's files."""

from bert_jax.config import BertConfig
from bert_jax.interop.family import Family

LAYER = "bert.encoder.layer.{}"

BERT = Family(
    config=BertConfig,
    prefix="bert.",
    names={
        "bert.embeddings.word": "bert.embeddings.word_embeddings.embedding",
        "bert.embeddings.position": "bert.embeddings.position_embeddings.embedding",
        "bert.embeddings.segment": "bert.embeddings.token_type_embeddings.embedding",
        "bert.embeddings.norm": "bert.embeddings.LayerNorm",
        "bert.layers.attention.qkv": (
            f"{LAYER}.attention.self.query",
            f"{LAYER}.attention.self.key",
            f"{LAYER}.attention.self.value",
        ),
        "bert.layers.attention.out": f"{LAYER}.attention.output.dense",
        "bert.layers.attention_norm": f"{LAYER}.attention.output.LayerNorm",
        "bert.layers.feed_forward.up": f"{LAYER}.intermediate.dense",
        "bert.layers.feed_forward.down": f"{LAYER}.output.dense",
        "bert.layers.feed_forward_norm": f"{LAYER}.output.LayerNorm",
        "bert.pooler": "bert.pooler.dense",
        "mlm.dense": "cls.predictions.transform.dense",
        "mlm.norm": "cls.predictions.transform.LayerNorm",
        "mlm.bias": "cls.predictions.bias",
        "nsp.dense": "cls.seq_relationship",
        "classifier": "classifier",
        "qa_outputs": "qa_outputs",
    },
    decoder="cls.predictions.decoder",
    required={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "is_encoder_decoder": False,
        "tie_word_embeddings": True,
        "pruned_heads": {},
        "chunk_size_feed_forward": 0,
    },
    activations=("hidden_act",),
    write=lambda config: {"position_embedding_type": "absolute"},
)
