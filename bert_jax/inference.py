"""The compiled programs of a trained model: encoded texts in, an array for each text out."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bert_jax.config.check import require
from bert_jax.corpus.loader import HostBatch
from bert_jax.errors import ConfigError
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.labelled.batching import PACKED_LENGTH, EncodedText, Packing
from bert_jax.labelled.packed import Progress, apply_packed, count_outputs, require_finite
from bert_jax.models.architectures import BY_TOKEN, encoder_of, head_of
from bert_jax.models.functional import Params, build
from bert_jax.models.pooling import SentencePooling, pool_sequences
from bert_jax.nn.execution import (
    Dtype,
    cast_params,
    choose_execution,
    device_platform,
    matmul_precision,
)
from bert_jax.nn.layout import RowLayout, row_layout
from bert_jax.tasks.fill_mask import TOKEN, mask_positions
from bert_jax.tasks.task import forward
from bert_jax.training.feeding import MAX_IN_FLIGHT, look_ahead
from bert_jax.training.step import AXIS, Batch

Device = str | jax.Device | None
"""A device, a platform whose devices are used, or None for those of the default platform."""
Placement = tuple[Any, Any, Packing]
"""Parameters on their devices, the sharding of a batch, and how texts are packed for it."""


class Inference:
    """Programs that a model runs; texts share rows, and outputs do not depend on neighbors.

    Parameters are put on the devices once. Texts that fill more than one batch are computed on all
    devices, fewer on the first one.

    Every method takes the texts, and `batch_size`, the rows of 64 tokens in a batch of one device.
    It raises CheckpointError if the model computes NaN or Inf.

    Args:
        saved: the model.
        dtype: dtype of activations and matrix products.
        devices: devices of this process, of one kind.
    """

    def __init__(
        self,
        saved: PretrainedModel,
        dtype: Dtype = "float32",
        devices: Sequence[jax.Device] = (),
    ):
        require(dtype in get_args(Dtype), "dtype", dtype, f"one of {get_args(Dtype)}")
        devices = devices or jax.local_devices()
        self._saved = saved._replace(params={})
        self.merge: Callable[[Any], Any] = build(saved.config, saved.module)[1]
        self._execution = choose_execution(
            "auto", platform=device_platform(devices[0]), dtype=dtype, dropout_rate=0.0
        )
        packing = Packing(saved.config.max_position_embeddings, saved.tokenizer.pad_id)
        mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
        replicated, by_row = NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS))
        on_all = jax.device_put(cast_layers(saved.params, dtype), replicated)
        self.params = jax.tree.map(lambda x: x.addressable_shards[0].data, on_all)
        self._on_one: Placement = (self.params, devices[0], packing)
        self._on_all: Placement = (on_all, by_row, packing._replace(row_multiple=len(devices)))
        self._jit_hidden = jax.jit(self._hidden)
        self._jit_sentences = jax.jit(self._sentences, static_argnums=0)
        self._jit_outputs = jax.jit(self._outputs)
        self._jit_top_tokens = jax.jit(self._top_tokens, static_argnums=0)

    def hidden(
        self, texts: Sequence[EncodedText], batch_size: int
    ) -> list[Float[np.ndarray, "T D"]]:
        """Return the vectors of all tokens of each text."""
        return self._apply(self._jit_hidden, texts, count_outputs(texts, True), batch_size)

    def sentences(
        self, texts: Sequence[EncodedText], pooling: SentencePooling, batch_size: int
    ) -> list[Float[np.ndarray, "1 D"]]:
        """Return one vector for each text."""
        compute = functools.partial(self._jit_sentences, pooling)
        return self._apply(compute, texts, count_outputs(texts, False), batch_size)

    def outputs(
        self, texts: Sequence[EncodedText], batch_size: int, progress: Progress = bool
    ) -> list[Float[np.ndarray, "_ C"]]:
        """Return the outputs of the head: for each token of a text, or one for each text."""
        num_outputs = count_outputs(texts, head_of(self._saved.architecture) in BY_TOKEN)
        return self._apply(self._jit_outputs, texts, num_outputs, batch_size, progress)

    def top_tokens(
        self, texts: Sequence[EncodedText], top_k: int, batch_size: int, progress: Progress = bool
    ) -> list[np.ndarray]:
        """Return the most probable tokens for each [MASK] of each text: [P, K] of `TOKEN`."""
        mask_id = self._saved.tokenizer.mask_id
        num_masks = [text.tokens.count(mask_id) for text in texts]

        def with_positions(batch: HostBatch) -> HostBatch:
            return batch | {"positions": mask_positions(batch["tokens"], mask_id)}

        compute = functools.partial(self._jit_top_tokens, top_k)
        return self._apply(compute, texts, num_masks, batch_size, progress, with_positions)

    def _apply(
        self,
        compute: Callable[[Any, Batch], Any],
        texts: Sequence[EncodedText],
        num_outputs: Sequence[int],
        batch_size: int,
        progress: Progress = bool,
        add_inputs: Callable[[HostBatch], HostBatch] = dict,
    ) -> list[np.ndarray]:
        """Return the outputs of all texts.

        Args:
            compute: `(params, batch) -> outputs`, an array or the fields of `TOKEN`.
            texts: all texts.
            num_outputs: outputs of each text.
            batch_size: rows of PACKED_LENGTH tokens in a batch of one device.
            progress: called after each batch.
            add_inputs: adds what `compute` needs besides "tokens" and "lengths".
        """
        fits = sum(len(text.tokens) for text in texts) <= batch_size * PACKED_LENGTH
        params, sharding, packing = self._on_one if fits else self._on_all

        def start(batch: HostBatch) -> Any:
            inputs = add_inputs({name: batch[name] for name in ("tokens", "lengths")})
            with jax.default_matmul_precision(matmul_precision(self._execution.dtype)):
                return compute(params, jax.device_put(inputs, sharding))

        def model(batches: Iterator[HostBatch]) -> Iterator[np.ndarray]:
            results = look_ahead(map(start, batches), MAX_IN_FLIGHT)
            for outputs in map(jax.device_get, results):
                yield outputs if isinstance(outputs, np.ndarray) else as_tokens(outputs)

        batch_size *= packing.row_multiple
        outputs = apply_packed(model, texts, num_outputs, batch_size, packing, progress)
        require_finite(outputs)
        return outputs

    def _hidden(self, params: Any, batch: Batch) -> Float[Array, "B T D"]:
        tokens, layout = _read(batch)
        encoder = encoder_of(self.merge(params))
        return encoder(tokens, layout, execution=self._execution).astype(jnp.float32)

    def _sentences(
        self, pooling: SentencePooling, params: Any, batch: Batch
    ) -> Float[Array, "B J D"]:
        return pool_sequences(self._hidden(params, batch), _read(batch)[1], pooling)

    def _outputs(self, params: Any, batch: Batch) -> Float[Array, "B _ C"]:
        return forward(self.merge(params), batch, None, self._execution).astype(jnp.float32)

    def _top_tokens(
        self, top_k: int, params: Any, batch: Batch
    ) -> Sequence[Float[Array, "B P K"] | Int[Array, "B P K"]]:
        model = self.merge(params)
        tokens, layout = _read(batch)
        hidden = model.bert(tokens, layout, positions=batch["positions"], execution=self._execution)
        logits = model.mlm(hidden, model.bert.embeddings.word[...])
        vocab_size = self._saved.tokenizer.vocab_size  # more rows pad the embeddings
        return jax.lax.top_k(jax.nn.softmax(logits[..., :vocab_size]), min(top_k, vocab_size))


def choose_devices(device: Device) -> Sequence[jax.Device]:
    """Return the devices of this process that a user asks for.

    Raises:
        ConfigError: there is no such platform.
    """
    if device is None or isinstance(device, str):
        try:
            return jax.local_devices(backend=device)
        except RuntimeError:
            raise ConfigError(
                f"device = {device!r} is not here",
                f"a platform such as {jax.default_backend()!r}, or one of jax.devices()",
                "leave device out",
            ) from None
    return [device]


def cast_layers(params: Params, dtype: str) -> Params:
    """Return parameters with those of the layers in `dtype`, as the layers would cast them."""
    if "bert" in params:
        return {**params, "bert": cast_layers(params["bert"], dtype)}
    layers = {name: cast_params(x, dtype) for name, x in params.items() if "layer" in name}
    return {**params, **layers}


def as_tokens(fields: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of the fields of `TOKEN` as one structured array."""
    return np.rec.fromarrays(fields, dtype=TOKEN)


def _read(batch: Batch) -> tuple[Array, RowLayout]:
    """Return the tokens of a batch, and their layout."""
    return batch["tokens"], row_layout(batch["lengths"], batch["tokens"].shape[1])
