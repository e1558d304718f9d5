"""The compiled programs of a trained model: encoded texts in, an array for each text out."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from bert_jax.corpus.loader import HostBatch
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.labelled.batching import EncodedText, Packing
from bert_jax.labelled.packed import Progress, apply_packed, count_outputs, require_finite
from bert_jax.models.architectures import BY_TOKEN
from bert_jax.models.functional import build
from bert_jax.models.pooling import SentencePooling, pool_sequences
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.fill_mask import TOKEN, mask_positions
from bert_jax.tasks.task import forward
from bert_jax.training.feeding import MAX_IN_FLIGHT, look_ahead


class Inference:
    """Programs that a model runs; texts share rows, and outputs do not depend on neighbors.

    Every method takes the texts, and `batch_size`, the rows of 64 tokens in a batch. It raises
    CheckpointError if the model computes NaN or Inf.

    Args:
        saved: the model.
    """

    def __init__(self, saved: PretrainedModel):
        self._saved = saved
        self.merge: Callable[[Any], Any] = build(saved.config, saved.module)[1]
        self._packing = Packing(saved.config.max_position_embeddings, saved.tokenizer.pad_id)
        self._jit_hidden = jax.jit(self._hidden)
        self._jit_sentences = jax.jit(self._sentences, static_argnums=0)
        self._jit_outputs = jax.jit(self._outputs)
        self._jit_top_tokens = jax.jit(self._top_tokens, static_argnums=4)

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
        num_outputs = count_outputs(texts, self._saved.architecture in BY_TOKEN)
        return self._apply(self._jit_outputs, texts, num_outputs, batch_size, progress)

    def top_tokens(
        self, texts: Sequence[EncodedText], top_k: int, batch_size: int, progress: Progress = bool
    ) -> list[np.ndarray]:
        """Return the most probable tokens for each [MASK] of each text: [P, K] of `TOKEN`."""
        num_masks = [text.tokens.count(self._saved.tokenizer.mask_id) for text in texts]
        compute = functools.partial(self._fill, top_k)
        return self._apply(compute, texts, num_masks, batch_size, progress)

    def _apply(
        self,
        compute: Callable[..., Any],
        texts: Sequence[EncodedText],
        num_outputs: Sequence[int],
        batch_size: int,
        progress: Progress = bool,
    ) -> list[np.ndarray]:
        """Compute the outputs of all texts by `compute(params, tokens, lengths)`."""

        def model(batches: Iterator[HostBatch]) -> Iterator[np.ndarray]:
            results = (
                compute(self._saved.params, batch["tokens"], batch["lengths"]) for batch in batches
            )
            return map(np.asarray, look_ahead(results, MAX_IN_FLIGHT))

        outputs = apply_packed(model, texts, num_outputs, batch_size, self._packing, progress)
        require_finite(outputs)
        return outputs

    def _hidden(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B J 2"]
    ) -> Float[Array, "B T D"]:
        model = self.merge(params)
        encoder = model if self._saved.architecture == "BertModel" else model.bert
        return encoder(tokens, row_layout(lengths, tokens.shape[1]))

    def _sentences(
        self,
        pooling: SentencePooling,
        params: Any,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, "B J 2"],
    ) -> Float[Array, "B J D"]:
        hidden = self._hidden(params, tokens, lengths)
        return pool_sequences(hidden, row_layout(lengths, tokens.shape[1]), pooling)

    def _outputs(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B J 2"]
    ) -> Float[Array, "B _ C"]:
        batch = {"tokens": tokens, "lengths": lengths}
        return forward(self.merge(params), batch, None, DEFAULT_EXECUTION)

    def _fill(
        self,
        top_k: int,
        params: Any,
        tokens: Int[np.ndarray, "B T"],
        lengths: Int[np.ndarray, "B J 2"],
    ) -> np.ndarray:
        """Return the most probable tokens at each [MASK], [B, P, K] of `TOKEN`."""
        positions = mask_positions(tokens, self._saved.tokenizer.mask_id)
        best = self._jit_top_tokens(params, tokens, lengths, positions, top_k)
        return np.rec.fromarrays([np.asarray(x) for x in best], dtype=TOKEN)

    def _top_tokens(
        self,
        params: Any,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, "B J 2"],
        positions: Int[Array, "B P"],
        top_k: int,
    ) -> Sequence[Float[Array, "B P K"] | Int[Array, "B P K"]]:
        model = self.merge(params)
        hidden = model.bert(tokens, row_layout(lengths, tokens.shape[1]), positions=positions)
        logits = model.mlm(hidden, model.bert.embeddings.word[...])
        vocab_size = self._saved.tokenizer.vocab_size  # more rows pad the embeddings
        return jax.lax.top_k(jax.nn.softmax(logits[..., :vocab_size]), min(top_k, vocab_size))
