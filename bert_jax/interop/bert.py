"""BERT in Hugging Face's files."""

from bert_jax.config import BertConfig
from bert_jax.interop.family import Family


def encoder_names(prefix: str) -> dict[str, str | tuple[str, ...]]:
    """Return the names of the encoder's parts, in a family that has BERT's under another prefix."""
    layer = f"{prefix}encoder.layer.{{}}"
    return {
        "bert.embeddings.word": f"{prefix}embeddings.word_embeddings.embedding",
        "bert.embeddings.position": f"{prefix}embeddings.position_embeddings.embedding",
        "bert.embeddings.segment": f"{prefix}embeddings.token_type_embeddings.embedding",
        "bert.embeddings.norm": f"{prefix}embeddings.LayerNorm",
        "bert.layers.attention.qkv": (
            f"{layer}.attention.self.query",
            f"{layer}.attention.self.key",
            f"{layer}.attention.self.value",
        ),
        "bert.layers.attention.out": f"{layer}.attention.output.dense",
        "bert.layers.attention_norm": f"{layer}.attention.output.LayerNorm",
        "bert.layers.feed_forward.up": f"{layer}.intermediate.dense",
        "bert.layers.feed_forward.down": f"{layer}.output.dense",
        "bert.layers.feed_forward_norm": f"{layer}.output.LayerNorm",
    }


BERT = Family(
    config=BertConfig,
    prefix="bert.",
    names={
        **encoder_names("bert."),
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
