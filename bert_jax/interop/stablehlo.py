"""Write StableHLO files, which JAX runs without this package, for any batch size and length."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from bert_jax.filesystem import write_bytes
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.functional import build
from bert_jax.models.pooling import pool_sequences
from bert_jax.nn.execution import matmul_precision
from bert_jax.nn.layout import RowLayout

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

    They are the outputs of `transformers` for any mask: a token attends to those whose
    `attention_mask` is not 0, wherever they stand, and has the position of its index.
    """
    name = model.architecture
    _, merge = build(model.config, model.module)

    def infer(input_ids: Array, attention_mask: Array, token_type_ids: Array) -> tuple[Array, ...]:
        module = merge(jax.tree.map(jnp.asarray, model.params))
        bert = module if name == "BertModel" else module.bert
        index = jnp.broadcast_to(jnp.arange(input_ids.shape[1]), input_ids.shape)
        is_token = (attention_mask != 0).astype(jnp.int32)
        first, count = is_token.argmax(axis=-1, keepdims=True), is_token.sum(axis=-1, keepdims=True)
        layout = RowLayout(is_token, index, token_type_ids, first, count)
        hidden = bert(input_ids, layout, mask=(attention_mask != 0)[:, None, None, :])
        if model.sentence:
            return (pool_sequences(hidden, layout, model.sentence)[:, 0],)
        if name in ("BertForMaskedLM", "BertForPreTraining"):
            mlm_logits = module.mlm(hidden, bert.embeddings.word[...])
            if name == "BertForMaskedLM":
                return (mlm_logits,)
            return mlm_logits, module.nsp(bert.pool(hidden[:, :1]))[:, 0]
        if name == "BertForSequenceClassification":
            return (module.classifier(bert.pool(hidden[:, 0])),)
        if name == "BertForTokenClassification":
            return (module.classifier(hidden),)
        if name == "BertForQuestionAnswering":
            logits = module.qa_outputs(hidden)
            return logits[..., 0], logits[..., 1]
        return (hidden, bert.pool(hidden[:, 0])) if model.has_pooler else (hidden,)

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
    function = jax.jit(make_inference_function(model))
    with jax.default_matmul_precision(matmul_precision("float32")):
        exported = jax.export.export(function, platforms=PLATFORMS)(shape, shape, shape)
    write_bytes(path, exported.serialize())
