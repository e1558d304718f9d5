"""Load a trained model and use it: text in, vectors, filled masks or predictions out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from bert_jax.config import PretrainConfig, read_json
from bert_jax.errors import ConfigError, UserError
from bert_jax.inference import Device, Inference, choose_devices
from bert_jax.interop.huggingface import PretrainedModel, find_directory, read_directory
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.inputs import Input, Reading, as_input, main_text
from bert_jax.labelled.packed import Progress
from bert_jax.labelled.texts import encode_single, require_single_texts
from bert_jax.models.architectures import architecture_of
from bert_jax.models.new_rows import keep_rows
from bert_jax.models.pooling import PoolingMode, SentencePooling, require_mode
from bert_jax.nn.execution import Dtype
from bert_jax.remote.addresses import as_path
from bert_jax.remote.reading import fetch
from bert_jax.tasks.fill_mask import decode_masks, encode_masked
from bert_jax.tasks.kinds import restore_task
from bert_jax.tasks.task import Prediction
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.identity import require_saved_model


class Model:
    """A model, its tokenizer and its configuration.

    Args:
        saved: the contents of a model directory, see `read_model`.
        dtype: as in `load`.
        device: as in `load`.

    Example:
        >>> bert = bert_jax.load("runs/demo")
        >>> vectors = bert.encode(["A first text.", "And another one."])
        >>> vectors[0].shape  # (num_tokens, hidden_size); [CLS] and [SEP] are tokens too
        (6, 128)
    """

    def __init__(self, saved: PretrainedModel, dtype: Dtype = "float32", device: Device = None):
        self.config, self.tokenizer = saved.config, saved.tokenizer
        self.architecture, self.labels = saved.architecture, saved.labels
        self._inference = Inference(saved, dtype, choose_devices(device))
        self.params, self.merge = self._inference.params, self._inference.merge
        self.task = restore_task(saved.architecture, saved.labels, saved.problem_type, saved.task)
        positions = saved.config.max_position_embeddings
        kind, about = self.task.kind if self.task else None, saved.task or {}
        self.reading = Reading(kind, saved.labels, about.get("columns"))
        length = about.get("max_length")
        is_valid = isinstance(length, int) and 8 <= length <= positions
        self.max_length = length if is_valid else positions
        self.sentence = saved.sentence or SentencePooling()

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
            batch_size: rows of 64 tokens in a batch of each device; short texts share a row.

        Returns:
            For each text an array of shape (num_tokens, hidden_size); row 0 is [CLS].
        """
        positions = self.config.max_position_embeddings
        return self._inference.hidden(self._encode_texts(texts, positions), batch_size)

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
            batch_size: rows of 64 tokens in a batch of each device; short texts share a row.

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
        vectors = self._inference.sentences(encoded, chosen, batch_size)
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
            batch_size: rows of 64 tokens in a batch of each device; short inputs share a row.

        Returns:
            For each input a dict: "label", "probability" and "probabilities"; or "labels" and
            "probabilities" of a multi-label model; or "score"; or "words" and "tags", with "start"
            and "end" of each word if the input is a text; or "text", "start" and "end" of an
            answer.

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
        progress: Progress = bool,
    ) -> list[Prediction]:
        """Return a prediction for each input: the fine-tuned task's, or the words for each [MASK].

        Args:
            inputs: as `labelled.inputs.read_inputs` yields them.
            top_k: tokens for each [MASK].
            batch_size: rows of 64 tokens in a batch of each device; short inputs share a row.
            errors: what to do with an input that cannot be used: "return" {"error": …}, or "raise".
            progress: called after each batch with the share of the tokens that are done.

        Returns:
            As `predict`, with "truncated": True if not all of an input fits. Without a fine-tuned
            task, {"masks": [[{"token", "probability"}, …], …]}.

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
            place = example.place or f"input {index + 1}"
            try:
                usable[index] = self._parse(example.read, place)
            except UserError as error:
                if errors == "raise":
                    raise
                reason = error.lines[0]
                if not reason.startswith(example.place):
                    reason = f"{place}: {reason}"
                predictions[index] = {"error": reason}
        predicted = self._predict(list(usable.values()), top_k, batch_size, progress)
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
            example = self.task.parse(values, place)
            if not self.config.takes_pairs:
                encoded = self.task.encode([example], self.tokenizer, self.max_length)
                require_single_texts(encoded, [place])
            return example
        positions = self.config.max_position_embeddings
        return encode_masked(main_text(values), self.tokenizer, positions)

    def _predict(
        self, examples: Sequence[Any], top_k: int, batch_size: int, progress: Progress
    ) -> list[Prediction]:
        """Return a prediction for each parsed example."""
        if self.task is None:
            outputs = self._inference.top_tokens(examples, top_k, batch_size, progress)
            encoded = [text._replace(example=index) for index, text in enumerate(examples)]
            predictions = decode_masks(outputs, self.tokenizer)
        else:
            encoded = self.task.encode(examples, self.tokenizer, self.max_length)
            outputs = self._inference.outputs(encoded, batch_size, progress)
            predictions = self.task.decode(examples, encoded, outputs)
        for text in encoded:
            if text.truncated:
                predictions[text.example]["truncated"] = True
        return predictions

    def _encode_texts(self, texts: Sequence[str], max_length: int) -> list[EncodedText]:
        ids = self.tokenizer.encode_batch(list(texts))
        return [encode_single(text_ids, self.tokenizer, max_length) for text_ids in ids]


def load(
    directory: str | Path, which: str = "newest", *, dtype: Dtype = "float32", device: Device = None
) -> Model:
    """Load a trained model: a run of pretrain.py or finetune.py, or a Hugging Face directory.

    Args:
        directory: for example `runs/demo`, `runs/nsmc/model` or `gs://bucket/runs/demo`.
        which: checkpoint of a pretraining run: "newest", or "best" by held-out loss.
        dtype: dtype of activations and matrix products; results are float32.
        device: a device, or a platform such as "cpu" or "gpu" for all of its devices. None: all
            devices of JAX's default platform. Parameters are put there once; texts that fill more
            than one batch are computed on all of them.

    Raises:
        ConfigError: not a model directory, its files do not match, or there is no such device.
        CheckpointError: no usable checkpoint, or weights that are damaged or pickled.
    """
    return Model(read_model(directory, which), dtype, device)


def read_model(
    directory: str | Path, which: str = "newest", labels: bool = True
) -> PretrainedModel:
    """Read the files that `load` loads, without building the model.

    Args:
        directory: as in `load`.
        which: as in `load`.
        labels: False ignores the labels of a directory, which an encoder does not need.
    """
    directory = fetch(as_path(directory))
    if exported := find_directory(directory):
        return read_directory(exported, labels=labels)
    config: PretrainConfig = read_json(PretrainConfig, directory / "config.json")
    tokenizer = Tokenizer.load(directory / "tokenizer")
    params, _, identity = load_params(directory, which)
    require_saved_model(directory / "config.json", config.model, identity)
    if tokenizer.sha256 != identity.get("tokenizer"):
        raise ConfigError(
            f"{directory / 'tokenizer'} has hash {tokenizer.sha256}",
            f"{identity.get('tokenizer')}, with which the model was trained",
            "restore the tokenizer's files",
        )
    model, size = config.model, tokenizer.vocab_size
    if config.vocab_multiple > 1:  # the run added padding, which nothing else needs
        model, params = replace(model, vocab_size=size), keep_rows(params, size)
    name = identity.get("architecture") or architecture_of(model, "ForPreTraining")
    return PretrainedModel(model, name, params, tokenizer)
