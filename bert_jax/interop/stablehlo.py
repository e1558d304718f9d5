"""Write StableHLO files, which JAX runs without this package, for any batch size and length."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.models.pooling import pool_sequences
from bert_jax.nn.layout import row_layout

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def make_inference_function(
    model: PretrainedModel,
) -> Callable[[Array, Array, Array], tuple[Array, ...]]:
    """Return a function of Hugging Face's three inputs that closes over the parameters.

    `f(input_ids [B, T], attention_mask [B, T], token_type_ids [B, T])`, all int32, returns

    - any model with `model.sentence`: a vector for each text [B, D];
    - BertModel: last hidden state [B, T, D] and, with a pooler, the pooled [CLS] [B, D];
    - BertForPreTraining: MLM logits [B, T, V] and NSP logits [B, 2];
    - BertForSequenceClassification: logits [B, C];
    - BertForQuestionAnswering: logits of starts [B, T] and of ends [B, T];
    - the others: logits [B, T, V or C].

    Padding is expected at the end, and the second segment after the first.
    """
    name = model.architecture
    num_labels = len(model.labels) if name in WITH_LABELS else 0
    pooling = name != "BertModel" or "pooler" in model.params
    _, merge = build(model.config, architecture(name, num_labels, pooling))

    def infer(input_ids: Array, attention_mask: Array, token_type_ids: Array) -> tuple[Array, ...]:
        second = (attention_mask * token_type_ids).sum(axis=-1)
        lengths = jnp.stack([attention_mask.sum(axis=-1) - second, second], axis=-1)[:, None]
        layout = row_layout(lengths, input_ids.shape[1])
        module = merge(jax.tree.map(jnp.asarray, model.params))
        if model.sentence:
            encoder = module if name == "BertModel" else module.bert
            vectors = pool_sequences(encoder(input_ids, layout), layout, model.sentence)
            return (vectors[:, 0],)
        if name == "BertModel":
            hidden = module(input_ids, layout)
            return (hidden, module.pool(hidden[:, 0])) if pooling else (hidden,)
        if name == "BertForPreTraining":
            positions = jnp.broadcast_to(jnp.arange(input_ids.shape[1]), input_ids.shape)
            mlm_logits, nsp_logits = module(input_ids, layout, positions)
            return mlm_logits, nsp_logits[:, 0]
        logits = module(input_ids, layout)
        if name == "BertForSequenceClassification":
            return (logits[:, 0],)
        if name == "BertForQuestionAnswering":
            return logits[..., 0], logits[..., 1]
        return (logits,)

    return infer


def write_stablehlo(model: PretrainedModel, path: Path) -> None:
    """Write a model for any batch size and any length up to its maximum position.

    Example:
        >>> f = jax.export.deserialize(bytearray(Path("model.stablehlo").read_bytes())).call
        >>> (logits,) = f(input_ids, attention_mask, token_type_ids)  # int32 [B, T]
    """
    longest = model.config.max_position_embeddings
    batch, length = jax.export.symbolic_shape("b, t", constraints=(f"t <= {longest}",))
    shape = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    exported = jax.export.export(jax.jit(make_inference_function(model)), platforms=PLATFORMS)(
        shape, shape, shape
    )
    path.write_bytes(exported.serialize())
