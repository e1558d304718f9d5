"""Starts of pretraining: a trained model, also with new words, or vectors of word pieces."""

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Protocol

import jax
import numpy as np
import safetensors.numpy

from bert_jax.config import EncoderConfig, PretrainConfig
from bert_jax.corpus.loader import PretrainingRows
from bert_jax.corpus.ppmi import embed_pieces
from bert_jax.errors import ConfigError
from bert_jax.filesystem import write_bytes
from bert_jax.models.architectures import with_encoder
from bert_jax.models.functional import Params, merge_pretrained
from bert_jax.models.new_rows import add_rows
from bert_jax.progress import Progress
from bert_jax.remote.addresses import WRITTEN, as_path
from bert_jax.tokenizer.new_words import pieces_of_new_tokens
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.processes import share_array
from bert_jax.training.step import TrainState

START_FILE = "embedding_start.safetensors"


class Trained(Protocol):
    """A model to start from, such as `interop.huggingface.PretrainedModel`."""

    @property
    def params(self) -> Params:
        """Parameters of a pretraining model, or of an encoder alone."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""
        ...


def require_same_shape(config: PretrainConfig, expected: EncoderConfig) -> None:
    """Compare a run's model with that of `config.encoder`.

    Raises:
        ConfigError: their shapes differ.
    """
    model = config.model
    if model.model_type != expected.model_type:
        raise ConfigError(
            f"{config.encoder} is a {expected.title}, and {config.name} trains a {model.title}",
            "models of the same family",
            "choose a run whose model is of this family",
        )
    may_differ = {*model.fields_of_training, "classifier_dropout", "vocab_size"}
    names = [field.name for field in fields(model) if field.name not in may_differ]
    given, saved = ({x: getattr(c, x) for x in names} for c in (config.model, expected))
    if other := [name for name in names if given[name] != saved[name]]:
        options = [f"--model.{name.replace('_', '-')} {saved[name]}" for name in other]
        raise ConfigError(
            f"{', '.join(f'model.{name} = {given[name]}' for name in other)}, but "
            f"{config.encoder} has {', '.join(str(saved[name]) for name in other)}",
            "a model of the same shape",
            f"pass {' '.join(options)}",
        )


def adapt_vocabulary(
    encoder: Trained, tokenizer: Tokenizer, config: PretrainConfig
) -> tuple[Params, list[str]]:
    """Return a trained model's parameters with rows for the new tokens of a tokenizer.

    Args:
        encoder: the trained model.
        tokenizer: the tokenizer of the data.
        config: the run; its vocabulary has at least the rows that the model has.

    Returns:
        The parameters, with "bert", and lines on rows that are new or have no token.

    Raises:
        ConfigError: the tokenizer is not the encoder's, nor the encoder's with more words.
    """
    params = with_encoder(encoder.params)
    old = encoder.tokenizer
    pieces = pieces_of_new_tokens(old, tokenizer)
    if pieces is None:
        raise ConfigError(
            f"{config.data} has a different vocabulary or casing from {config.encoder}",
            "text prepared with the vocabulary of the model to start from",
            f"re-run prepare.py with --vocab {config.encoder}",
        )
    rows, lines = len(params["bert"]["embeddings"]["word"]), []
    size = config.model.vocab_size or rows
    if rows > old.vocab_size:
        lines.append(
            f"note: the encoder has {rows:,} word embeddings for {old.vocab_size:,} tokens: the "
            "last are padding, unless its vocabulary has lost lines"
        )
    if pieces or size > rows:
        params = add_rows(params, size, pieces)
        lines.append(
            f"word embeddings: {size - rows:,} rows added to {rows:,}; {len(pieces):,} new tokens "
            "start as the mean of their pieces"
        )
    return params, lines


def start_embeddings(
    state: TrainState,
    config: PretrainConfig,
    train_rows: Mapping[int, PretrainingRows],
    tokenizer: Tokenizer,
    log: Callable[[str], None],
) -> TrainState:
    """Return a new run's state with the word embeddings that `config.embedding_start` asks for.

    A run that starts from another model's weights keeps those.

    They have the standard deviation of the random ones, which stay in the rows of special tokens
    and of pieces without a vector, and are written to the run's directory as START_FILE. All
    processes of a job call it together; they get the vectors that the first one computes.

    Args:
        state: the state with random weights; it is returned where it is only traced for its
            shapes.
        config: the run.
        train_rows: training rows by length; `embed_pieces` reads a sample of the first phase's.
        tokenizer: the tokenizer that made them.
        log: called with a line on the vectors.
    """
    other_weights = config.encoder or config.extend_from
    if (
        config.embedding_start == "random"
        or other_weights
        or isinstance(state.step, jax.core.Tracer)
    ):
        return state
    rows = train_rows[config.phases[0].length]
    random = np.asarray(state.params["bert"]["embeddings"]["word"])

    def compute() -> np.ndarray:
        start = time.perf_counter()
        with Progress("word vectors of the prepared rows", summary=False):
            made = embed_pieces(rows, tokenizer, len(random), random.shape[1], config.seed)
        scale = random.std() / (made.vectors[made.known].std() or 1) if made.known.any() else 1
        word = np.where(made.known[:, None], made.vectors * scale, random)
        content = safetensors.numpy.save(
            {"bert.embeddings.word_embeddings.weight": word}, metadata={"format": "pt"}
        )
        write_bytes(as_path(config.runs_dir, WRITTEN) / config.name / START_FILE, content)
        log(
            f"word embeddings start as PPMI vectors: {made.known.sum():,} of {len(word):,}, from "
            f"{made.num_pairs:,} pairs in {made.num_rows:,} rows of {rows.row_format.length} "
            f"tokens, {time.perf_counter() - start:.1f} s"
        )
        return word

    word = share_array(compute, random)
    started = merge_pretrained(state.params, {"bert": {"embeddings": {"word": word}}})
    return state._replace(params=started)
