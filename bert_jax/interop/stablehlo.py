"""Write StableHLO files, which JAX runs without this package, for any batch size and length."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from bert_jax.filesystem import write_bytes
from bert_jax.interop.families import family_of
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import ENCODERS, encoder_of, head_of
from bert_jax.models.functional import build
from bert_jax.models.pooling import pool_sequences
from bert_jax.nn.execution import matmul_precision
from bert_jax.nn.layout import RowLayout

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def make_inference_function(model: PretrainedModel) -> Callable[..., tuple[Array, ...]]:
    """Return a function of Hugging Face's inputs that closes over the parameters.

    `f(input_ids [B, T], attention_mask [B, T], token_type_ids [B, T])`, all int32, the last one for
    models with segments only, returns

    - any model with `model.sentence`: a vector for each text [B, D];
    - an encoder: last hidden state [B, T, D] and, with a pooler, the pooled [CLS] [B, D];
    - for pretraining: MLM logits [B, T, V] and NSP logits [B, 2];
    - for classification of sequences: logits [B, C];
    - for question answering: logits of starts [B, T] and of ends [B, T];
    - the others: logits [B, T, V or C].

    They are the outputs of `transformers` for any mask: a token attends to those whose
    `attention_mask` is not 0, wherever they stand, and has the position of its
    index, or in RoBERTa its number among those whose id is not padding's.
    """
    head = head_of(model.architecture)
    _, merge = build(model.config, model.module)

    def infer(
        input_ids: Array, attention_mask: Array, token_type_ids: Array | None = None
    ) -> tuple[Array, ...]:
        module = merge(jax.tree.map(jnp.asarray, model.params))
        index = jnp.broadcast_to(jnp.arange(input_ids.shape[1]), input_ids.shape)
        positions = family_of(model.config).positions(model.config, input_ids)
        segments = jnp.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        is_token = (attention_mask != 0).astype(jnp.int32)
        count = is_token.sum(axis=-1, keepdims=True)
        layout = RowLayout(is_token, positions, segments, jnp.zeros_like(count), count)
        mask = (attention_mask != 0)[:, None, None, :]
        if model.sentence:
            first = is_token.argmax(axis=-1, keepdims=True).astype(jnp.int32)
            hidden = encoder_of(module)(input_ids, layout, mask=mask)
            return (pool_sequences(hidden, layout._replace(starts=first), model.sentence)[:, 0],)
        if head == "ForPreTraining":
            mlm_logits, nsp_logits = module(input_ids, layout, index, mask=mask)
            return mlm_logits, nsp_logits[:, 0]
        outputs = module(input_ids, layout, mask=mask)
        if head == "ForSequenceClassification":
            return (outputs[:, 0],)
        if head == "ForQuestionAnswering":
            return outputs[..., 0], outputs[..., 1]
        return (outputs, module.pool(outputs[:, 0])) if is_pooled(model) else (outputs,)

    return infer


def is_pooled(model: PretrainedModel) -> bool:
    """Return True if the function of a model returns a pooled vector too."""
    return model.architecture in ENCODERS and model.has_pooler


def input_names(model: PretrainedModel) -> tuple[str, ...]:
    """Return Hugging Face's names of a model's inputs."""
    names = ("input_ids", "attention_mask")
    return (*names, "token_type_ids") if model.config.has_segments else names


def write_stablehlo(model: PretrainedModel, path: Path) -> None:
    """Write a model for any batch size and any length up to its maximum position.

    Example:
        >>> f = jax.export.deserialize(bytearray(Path("model.stablehlo").read_bytes())).call
        >>> (logits,) = f(input_ids, attention_mask, token_type_ids)  # int32 [B, T]

    A model without segments takes the first two.
    """
    longest = model.config.max_position_embeddings
    batch, length = jax.export.symbolic_shape("b, t", constraints=(f"t <= {longest}",))
    shape = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    function = jax.jit(make_inference_function(model))
    with jax.default_matmul_precision(matmul_precision("float32")):
        inputs = [shape for _ in input_names(model)]
        exported = jax.export.export(function, platforms=PLATFORMS)(*inputs)
    write_bytes(path, exported.serialize())
