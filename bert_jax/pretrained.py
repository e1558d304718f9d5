"""Load a trained model and use it: text in, vectors, filled masks or predictions out."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from bert_jax.config import PretrainConfig, read_json
from bert_jax.corpus.loader import HostBatch
from bert_jax.errors import ConfigError, UserError
from bert_jax.filesystem import read_json_object
from bert_jax.interop.huggingface import PretrainedModel, read_directory
from bert_jax.labelled.batching import EncodedText, Packing
from bert_jax.labelled.inputs import Input, as_input, main_text
from bert_jax.labelled.packed import apply_packed, count_outputs
from bert_jax.labelled.texts import encode_single
from bert_jax.models.architectures import BY_TOKEN, WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.models.pooling import PoolingMode, SentencePooling, pool_sequences, require_mode
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.fill_mask import TOKEN, decode_masks, encode_masked, mask_positions
from bert_jax.tasks.kinds import restore_task
from bert_jax.tasks.task import Prediction, forward
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.checkpoint_arrays import load_params


class Model:
    """A model, its tokenizer and its configuration.

    Args:
        saved: the contents of a model directory, see `read_model`.

    Example:
        >>> bert = bert_jax.load("runs/demo")
        >>> vectors = bert.encode(["A first text.", "And another one."])
        >>> vectors[0].shape  # (num_tokens, hidden_size); [CLS] and [SEP] are tokens too
        (6, 128)
    """

    def __init__(self, saved: PretrainedModel):
        self.config, self.params, self.tokenizer = saved.config, saved.params, saved.tokenizer
        self.architecture, self.labels = saved.architecture, saved.labels
        num_labels = len(saved.labels) if saved.architecture in WITH_LABELS else 0
        pooling = saved.architecture != "BertModel" or "pooler" in saved.params
        module = architecture(saved.architecture, num_labels, pooling)
        self.merge: Callable[[Any], Any] = build(saved.config, module)[1]
        self.task = restore_task(saved.architecture, saved.labels, saved.problem_type, saved.task)
        positions = saved.config.max_position_embeddings
        length = (saved.task or {}).get("max_length")
        is_valid = isinstance(length, int) and 8 <= length <= positions
        self.max_length = length if is_valid else positions
        self.sentence = saved.sentence or SentencePooling()
        self._packing = Packing(positions, saved.tokenizer.pad_id)
        self._jit_hidden = jax.jit(self._hidden)
        self._jit_sentences = jax.jit(self._sentences, static_argnums=3)
        self._jit_outputs = jax.jit(self._outputs)
        self._jit_top_tokens = jax.jit(self._top_tokens, static_argnums=4)

    @property
    def model(self) -> Any:
        """The Flax module with its parameters."""
        return self.merge(self.params)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> list[Float[np.ndarray, "T D"]]:
        """Return a contextual vector for every token of every text, [CLS] and [SEP] included.

        The vectors of a text do not depend on the other texts. Texts longer than the model's
        positions are truncated.

        Args:
            texts: the texts.
            batch_size: rows of 64 tokens in a batch; short texts share a row.

        Returns:
            For each text an array of shape (num_tokens, hidden_size); row 0 is [CLS].
        """
        encoded = self._encode_texts(texts, self.config.max_position_embeddings)
        num_outputs = count_outputs(encoded, by_token=True)
        return self._apply(self._jit_hidden, encoded, num_outputs, batch_size)

    def embed(
        self,
        texts: Sequence[str],
        pooling: PoolingMode | None = None,
        normalize: bool | None = None,
        batch_size: int = 32,
    ) -> Float[np.ndarray, "N D"]:
        """Return one vector for every text, pooled from the vectors of its tokens.

        Equal to sentence-transformers with the same pooling.

        Args:
            texts: the texts; too long ones are truncated.
            pooling: "mean" or "max" over all tokens, [CLS] and [SEP] included, or "cls". None: as a
                directory of sentence-transformers says, else "mean".
            normalize: scale vectors to length 1. None: as the directory says, else False.
            batch_size: rows of 64 tokens in a batch; short texts share a row.

        Raises:
            ConfigError: no such mode of pooling.

        Example:
            >>> a, b = bert.embed(["A good film.", "I liked it."], normalize=True)
            >>> similarity = a @ b  # cosine
        """
        chosen = self.sentence
        if pooling is not None:
            require_mode(pooling)
            chosen = chosen._replace(mode=pooling)
        if normalize is not None:
            chosen = chosen._replace(normalize=normalize)
        positions = self.config.max_position_embeddings
        encoded = self._encode_texts(texts, min(chosen.max_length or positions, positions))
        num_outputs = count_outputs(encoded, by_token=False)
        compute = functools.partial(self._embed_rows, chosen)
        vectors = self._apply(compute, encoded, num_outputs, batch_size)
        return np.concatenate([np.empty((0, self.config.hidden_size), np.float32), *vectors])

    def fill_mask(self, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """Return the most probable tokens for each [MASK] of a text, with their probabilities.

        Raises:
            ConfigError: no [MASK], a [MASK] past max_position_embeddings, or a model without a
                masked-LM head.
        """
        self.require_mlm()
        (prediction,) = self.predict_inputs([as_input(text)], top_k, errors="raise")
        return [[(x["token"], x["probability"]) for x in mask] for mask in prediction["masks"]]

    def predict(
        self, inputs: Sequence[str | tuple[str, str] | dict[str, Any]], batch_size: int = 32
    ) -> list[Prediction]:
        """Return the fine-tuned task's prediction for each input.

        A prediction does not depend on the other inputs.

        Args:
            inputs: texts, pairs of texts, or dicts such as {"question": …, "context": …}.
            batch_size: rows of 64 tokens in a batch; short inputs share a row.

        Returns:
            For each input a dict: "label", "probability" and "probabilities"; or "score"; or
            "words" and "tags", with "start" and "end" of each word if the input is a text; or
            "text", "start" and "end" of an answer.

        Raises:
            ConfigError: the model was not fine-tuned.
            DataError: an input without a text.
        """
        if self.task is None:
            raise ConfigError(
                f"this model is a {self.architecture}: it was not fine-tuned",
                "the model/ directory of a run of finetune.py",
                "fine-tune it first, or use fill_mask",
            )
        examples = [as_input(values) for values in inputs]
        return self.predict_inputs(examples, batch_size=batch_size, errors="raise")

    def predict_inputs(
        self,
        inputs: Sequence[Input],
        top_k: int = 5,
        batch_size: int = 32,
        errors: Literal["return", "raise"] = "return",
    ) -> list[Prediction]:
        """Return a prediction for each input: the fine-tuned task's, or the words for each [MASK].

        Args:
            inputs: as `labelled.inputs.read_inputs` yields them.
            top_k: tokens for each [MASK].
            batch_size: rows of 64 tokens in a batch; short inputs share a row.
            errors: what to do with an input that cannot be used: "return" {"error": …}, or "raise".

        Returns:
            As `predict`; without a fine-tuned task, {"masks": [[{"token", "probability"}, …], …]}.

        Raises:
            ConfigError: neither a fine-tuned task nor a masked-LM head.
            UserError: an input that cannot be used, with errors="raise".
        """
        if self.task is None:
            self.require_mlm()
        predictions: list[Prediction] = [{"error": example.error} for example in inputs]
        usable: dict[int, Any] = {}
        for index, example in enumerate(inputs):
            if example.error:
                continue
            try:
                usable[index] = self._parse(example.values, f"input {index + 1}")
            except UserError as error:
                if errors == "raise":
                    raise
                predictions[index] = {"error": str(error).split("\n")[0]}
        predicted = self._predict(list(usable.values()), top_k, batch_size)
        for index, prediction in zip(usable, predicted, strict=True):
            predictions[index] = prediction
        return predictions

    def require_mlm(self) -> None:
        """Check that the model can predict masked words.

        Raises:
            ConfigError: it has no masked-LM head.
        """
        if "mlm" not in self.params:
            raise ConfigError(
                f"this model is a {self.architecture}, which has no masked-LM head",
                "a pretrained model that predicts masked words",
                "load the run of pretrain.py",
            )

    def _parse(self, values: dict[str, Any], place: str) -> Any:
        """Return the task's example or, without a task, the text with its [MASK]s as tokens."""
        if self.task is not None:
            return self.task.parse(values, place)
        max_length = self.config.max_position_embeddings
        return encode_masked(main_text(values), self.tokenizer, max_length)

    def _predict(self, examples: Sequence[Any], top_k: int, batch_size: int) -> list[Prediction]:
        """Return a prediction for each parsed example."""
        if self.task is None:
            num_masks = [text.tokens.count(self.tokenizer.mask_id) for text in examples]
            fill = functools.partial(self._fill, top_k)
            outputs = self._apply(fill, examples, num_masks, batch_size)
            return decode_masks(outputs, self.tokenizer)
        encoded = self.task.encode(examples, self.tokenizer, self.max_length)
        num_outputs = count_outputs(encoded, self.architecture in BY_TOKEN)
        outputs = self._apply(self._jit_outputs, encoded, num_outputs, batch_size)
        return self.task.decode(examples, encoded, outputs)

    def _apply(
        self,
        compute: Callable[..., Any],
        texts: Sequence[EncodedText],
        num_outputs: Sequence[int],
        batch_size: int,
    ) -> list[np.ndarray]:
        """Compute the outputs of all texts by `compute(params, tokens, lengths)`."""

        def model(batch: HostBatch) -> np.ndarray:
            return np.asarray(compute(self.params, batch["tokens"], batch["lengths"]))

        return apply_packed(model, texts, num_outputs, batch_size, self._packing)

    def _encode_texts(self, texts: Sequence[str], max_length: int) -> list[EncodedText]:
        ids = self.tokenizer.encode_batch(list(texts))
        return [encode_single(text_ids, self.tokenizer, max_length) for text_ids in ids]

    def _embed_rows(
        self,
        pooling: SentencePooling,
        params: Any,
        tokens: Int[np.ndarray, "B T"],
        lengths: Int[np.ndarray, "B J 2"],
    ) -> Float[Array, "B J D"]:
        return self._jit_sentences(params, tokens, lengths, pooling)

    def _sentences(
        self,
        params: Any,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, "B J 2"],
        pooling: SentencePooling,
    ) -> Float[Array, "B J D"]:
        hidden = self._hidden(params, tokens, lengths)
        return pool_sequences(hidden, row_layout(lengths, tokens.shape[1]), pooling)

    def _hidden(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B J 2"]
    ) -> Float[Array, "B T D"]:
        model = self.merge(params)
        encoder = model if self.architecture == "BertModel" else model.bert
        return encoder(tokens, row_layout(lengths, tokens.shape[1]))

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
        positions = mask_positions(tokens, self.tokenizer.mask_id)
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
        return jax.lax.top_k(jax.nn.softmax(logits), min(top_k, logits.shape[-1]))


def load(directory: str | Path, which: str = "newest") -> Model:
    """Load a trained model: a run of pretrain.py or finetune.py, or a Hugging Face directory.

    Args:
        directory: for example `runs/demo`, or `runs/nsmc/model`.
        which: checkpoint of a pretraining run: "newest", or "best" by held-out loss.

    Raises:
        ConfigError: not a model directory, or its files do not match.
        CheckpointError: no usable checkpoint, or weights that are damaged or pickled.
    """
    return Model(read_model(directory, which))


def read_model(directory: str | Path, which: str = "newest") -> PretrainedModel:
    """Read the files that `load` loads, without building the model."""
    directory = Path(directory)
    if (directory / "model" / "config.json").exists():
        return read_directory(directory / "model")
    if "model_type" in read_json_object(directory / "config.json"):
        return read_directory(directory)
    config: PretrainConfig = read_json(PretrainConfig, directory / "config.json")
    tokenizer = Tokenizer.load(directory / "tokenizer")
    params, _, identity = load_params(directory, which)
    if tokenizer.sha256 != identity.get("tokenizer"):
        raise ConfigError(
            f"{directory / 'tokenizer'} has hash {tokenizer.sha256}",
            f"{identity.get('tokenizer')}, with which the model was trained",
            "restore the tokenizer's files",
        )
    return PretrainedModel(config.model, "BertForPreTraining", params, tokenizer)
