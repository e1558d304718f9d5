"""A trained model for use: text in; vectors, filled masks or predictions out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from bert_jax.config import PretrainConfig, read_json
from bert_jax.data.batching import EncodedText, Packing, packed_batches, split
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import ConfigError
from bert_jax.interop.config_json import read_json_object
from bert_jax.interop.huggingface import Exported, read_directory
from bert_jax.models.architectures import BY_TOKEN, WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.nn.compute import PLAIN
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.kinds import KINDS, kind_of
from bert_jax.tasks.task import Prediction, Task, forward
from bert_jax.training.store import load_params

MASK = "[MASK]"


class Model:
    """A model, its tokenizer and its configuration.

    Args:
        saved: what a directory holds.

    Example:
        >>> bert = bert_jax.load("runs/demo")
        >>> vectors = bert.encode(["A first text.", "And another one."])
        >>> vectors[0].shape  # tokens, [CLS] and [SEP] included, x hidden_size
        (6, 128)
    """

    def __init__(self, saved: Exported):
        self.config, self.params, self.tokenizer = saved.config, saved.params, saved.tokenizer
        self.architecture, self.labels = saved.architecture, saved.labels
        num_labels = len(saved.labels) if saved.architecture in WITH_LABELS else 0
        pooling = saved.architecture != "BertModel" or "pooler" in saved.params
        module = architecture(saved.architecture, num_labels, pooling)
        self.bind: Callable[[Any], Any] = build(saved.config, module)[1]
        self.task, self.max_length = _task(saved)
        self._packing = Packing(saved.config.max_position_embeddings, saved.tokenizer.pad_id)
        self._hidden = jax.jit(self._compute_hidden)
        self._guesses = jax.jit(self._compute_guesses, static_argnums=4)
        self._outputs = jax.jit(self._compute_outputs)

    @property
    def model(self) -> Any:
        """The Flax module with its parameters."""
        return self.bind(self.params)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> list[Float[np.ndarray, "T D"]]:
        """Contextual vectors of every token of every text, [CLS] and [SEP] included.

        Texts that are longer than the model's positions are cut off there. What a text gives does
        not depend on the other texts.

        Returns:
            For each text an array [tokens, hidden_size]; row 0 is [CLS].
        """
        encoded = [self._enclose(ids) for ids in self.tokenizer.encode_batch(list(texts))]
        return self._packed(encoded, batch_size, self._hidden, by_token=True)

    def fill_mask(self, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable tokens for each [MASK] of a text, with their probabilities.

        Raises:
            ConfigError: no [MASK], one beyond the positions, or a model that guesses no words.
        """
        return self.fill_rows([self.masked_row(text)], top_k)[0]

    def fill_rows(
        self, texts: Sequence[EncodedText], top_k: int = 5, batch_size: int = 32
    ) -> list[list[list[tuple[str, float]]]]:
        """The same for many texts, as `masked_row` gives them; short ones share a row."""
        self.need_words()
        filled: list[list[list[tuple[str, float]]]] = [[] for _ in texts]
        for groups, batch in packed_batches(texts, batch_size, self._packing):
            is_mask = batch["tokens"] == self.tokenizer.mask_id
            most = 1 << int(is_mask.sum(axis=1).max() - 1).bit_length()  # few different programs
            places = np.argsort(~is_mask, axis=1, kind="stable")[:, :most]
            found = self._guesses(self.params, batch["tokens"], batch["lengths"], places, top_k)
            for numbers, probabilities, ids in zip(groups, *map(np.asarray, found), strict=False):
                of_masks = zip(probabilities.tolist(), ids.tolist(), strict=True)
                for i in numbers:
                    for _ in range(texts[i].tokens.count(self.tokenizer.mask_id)):
                        sure, best = next(of_masks)
                        filled[i].append([*zip(self.tokenizer.tokens(best), sure, strict=True)])
        return filled

    def masked_row(self, text: str) -> EncodedText:
        """A text with [MASK] as tokens.

        Raises:
            ConfigError: no [MASK], or one beyond the positions.
        """
        parts = text.split(MASK)
        if len(parts) == 1:
            raise ConfigError(f"no {MASK} in {text!r}", f"a text with {MASK}", f"write {MASK}")
        ids: list[int] = self.tokenizer.encode(parts[0])
        for part in parts[1:]:
            ids += [self.tokenizer.mask_id, *self.tokenizer.encode(part)]
        row = self._enclose(ids)
        lost = len(parts) - 1 - row.tokens.count(self.tokenizer.mask_id)
        if lost:
            raise ConfigError(
                f"{lost} of {len(parts) - 1} {MASK} beyond the model's positions: {text[:40]!r}",
                f"at most {self.config.max_position_embeddings - 2} tokens up to the last {MASK}",
                "shorten the text before it",
            )
        return row

    def need_words(self) -> None:
        """Refuses a model that guesses no words.

        Raises:
            ConfigError: it has no head for masked words.
        """
        if "mlm" not in self.params:
            raise ConfigError(
                f"this model is a {self.architecture}, which guesses no words",
                "a pretrained model with its head for masked words",
                "load the run of pretrain.py",
            )

    def predict(
        self, inputs: Sequence[str | tuple[str, str] | dict[str, Any]], batch_size: int = 32
    ) -> list[Prediction]:
        """What the fine-tuned task says of each input.

        What is said of one does not depend on the others.

        Args:
            inputs: texts, pairs of texts, or dicts such as {"question": …, "context": …}.
            batch_size: rows that are computed together; short inputs share one.

        Returns:
            For each input a dict: "label", "probability" and "probabilities"; or "score"; or
            "words" and "tags", and of a text the "start" and "end" of each word; or "text",
            "start" and "end" of an answer.

        Raises:
            ConfigError: the model was not fine-tuned.
            DataError: an input without a text.
        """
        if self.task is None:
            raise ConfigError(
                f"this model is a {self.architecture}: it was not fine-tuned",
                "the model/ directory of a run of finetune.py",
                "fine-tune it first, or fill masks with it",
            )
        examples = []
        for number, given in enumerate(inputs, 1):
            if isinstance(given, str):
                given = {"text": given}
            elif not isinstance(given, dict):
                given = {"sentence1": given[0], "sentence2": given[1]}
            examples.append(self.task.parse(given, f"input {number}"))
        return self.predict_examples(examples, batch_size)

    def predict_examples(self, examples: Sequence[Any], batch_size: int = 32) -> list[Prediction]:
        """The same for examples as the task reads them."""
        assert self.task is not None
        encoded = self.task.encode(examples, self.tokenizer, self.max_length)
        by_token = self.architecture in BY_TOKEN
        outputs = self._packed(encoded, batch_size, self._outputs, by_token)
        return self.task.decode(examples, encoded, outputs)

    def _enclose(self, ids: list[int]) -> EncodedText:
        room = self.config.max_position_embeddings - 2
        tokens = [self.tokenizer.cls_id, *ids[:room], self.tokenizer.sep_id]
        return EncodedText(tokens, len(tokens), {})

    def _packed(
        self,
        texts: Sequence[EncodedText],
        batch_size: int,
        compute: Callable[..., Array],
        by_token: bool,
    ) -> list[np.ndarray]:
        """What is computed of each text: of each of its tokens, or one vector in all."""
        results: list[np.ndarray] = [np.empty(0)] * len(texts)
        for groups, batch in packed_batches(texts, batch_size, self._packing):
            outputs = np.asarray(compute(self.params, batch["tokens"], batch["lengths"]))
            for number, output in split(texts, groups, outputs, by_token):
                results[number] = output
        return results

    def _compute_hidden(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B J 2"]
    ) -> Float[Array, "B T D"]:
        model = self.bind(params)
        encoder = model if self.architecture == "BertModel" else model.bert
        return encoder(tokens, row_layout(lengths, tokens.shape[1]))

    def _compute_guesses(
        self,
        params: Any,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, "B J 2"],
        places: Int[Array, "B P"],
        top_k: int,
    ) -> tuple[Float[Array, "B P K"], Int[Array, "B P K"]]:
        model = self.bind(params)
        hidden = model.bert(tokens, row_layout(lengths, tokens.shape[1]), at=places)
        logits = model.mlm(hidden, model.bert.embeddings.word[...])
        return jax.lax.top_k(jax.nn.softmax(logits), min(top_k, logits.shape[-1]))

    def _compute_outputs(
        self, params: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B J 2"]
    ) -> Float[Array, "B J C"]:
        return forward(self.bind(params), {"tokens": tokens, "lengths": lengths}, None, PLAIN)


def load(directory: str | Path, which: str = "newest") -> Model:
    """Loads a trained model: a run of pretrain.py or finetune.py, or a Hugging Face directory.

    Args:
        directory: for example `runs/demo`, or `runs/nsmc/model`.
        which: of a pretraining run, "newest" checkpoint, or "best" by its held-out loss.

    Raises:
        ConfigError: not such a directory, or parts of it that do not belong together.
        CheckpointError: no checkpoint is good, or weights that are damaged or pickled.
    """
    return Model(read_model(directory, which))


def read_model(directory: str | Path, which: str = "newest") -> Exported:
    """Reads what `load` loads, without preparing it for use."""
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
    return Exported(config.model, "BertForPreTraining", params, tokenizer)


def _task(saved: Exported) -> tuple[Task | None, int]:
    """The task that a model was fine-tuned for, and the longest input in tokens."""
    is_sequence = saved.architecture == "BertForSequenceClassification"
    if is_sequence and saved.problem_type == "multi_label_classification":
        raise ConfigError(
            "the model says several labels of a text at once (multi_label_classification)",
            "a model that says one label, or a number",
            "fine-tune its encoder, or take that alone: convert.py --architecture BertModel",
        )
    about = saved.task or {}
    name = about.get("kind", kind_of(saved.architecture, saved.labels, saved.problem_type))
    positions = saved.config.max_position_embeddings
    length = about.get("max_length", positions)
    length = length if isinstance(length, int) and 8 <= length <= positions else positions
    if name is None:
        return None, length
    if not isinstance(name, str) or name not in KINDS:
        raise ConfigError(
            f"the model was fine-tuned for {name!r}"[:200],
            f"one of {', '.join(KINDS)}",
            "update bert_jax",
        )
    if KINDS[name].architecture != saved.architecture:
        raise ConfigError(
            f"the model was fine-tuned for {name!r}, but is a {saved.architecture}",
            f"a {KINDS[name].architecture}",
            "restore the directory's files; they do not belong together",
        )
    return KINDS[name].from_labels(saved.labels), length
