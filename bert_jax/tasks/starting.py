"""Start pretraining from a trained model, to whose vocabulary new words may have been added."""

from typing import Protocol

from bert_jax.config import PretrainConfig
from bert_jax.errors import ConfigError
from bert_jax.models.functional import Params
from bert_jax.models.new_rows import add_rows
from bert_jax.tokenizer.new_words import pieces_of_new_tokens
from bert_jax.tokenizer.tokenizer import Tokenizer


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
    params = encoder.params if "bert" in encoder.params else {"bert": encoder.params}
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
