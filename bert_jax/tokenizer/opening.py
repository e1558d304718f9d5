"""Open a given vocabulary: the tokenizer of a model's folder, or a vocab.txt alone."""

from pathlib import Path

from bert_jax.errors import ConfigError
from bert_jax.remote.addresses import as_path
from bert_jax.remote.reading import fetch
from bert_jax.tokenizer.directory import JSON, VOCAB
from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.rules import MAX_WORD_CHARS, Casing
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.tokenizer.vocab_file import read_vocab


def open_tokenizer(
    path: str | Path,
    lowercase: bool = False,
    strip_accents: bool | None = None,
    max_word_chars: int | None = None,
) -> Tokenizer:
    """Open a vocab.txt, a tokenizer.json, or the folder of a model, a run or prepared data.

    Args:
        path: the file or folder.
        lowercase: lower-case text; a folder's tokenizer knows.
        strip_accents: strip accents; a folder's tokenizer knows.
        max_word_chars: longer words are [UNK]; None: as in the folder, else 100.

    Raises:
        ConfigError: it cannot be read, or the folder's tokenizer has another casing than is asked.
    """
    path = fetch(as_path(path))
    path = path.parent if path.name == JSON else path
    casing = Casing(lowercase, strip_accents)
    if not path.is_dir():
        return Tokenizer(read_vocab(path), casing, (), max_word_chars or MAX_WORD_CHARS)
    folders = (path / "model", path, path / "tokenizer")
    is_there = [any((folder / name).exists() for name in (JSON, VOCAB)) for folder in folders]
    folder = folders[is_there.index(True)] if any(is_there) else path
    found = Tokenizer.load(folder)
    own = found.casing
    if (lowercase and not own.lowercase) or strip_accents not in (None, own.strips_accents):
        raise ConfigError(
            f"lowercase = {lowercase}, strip_accents = {strip_accents}, but the tokenizer of "
            f"{folder} has {own.lowercase}, {own.strips_accents}",
            "the casing with which the model was trained",
            "leave --lowercase and --strip-accents out: the folder's tokenizer knows",
        )
    if max_word_chars is None:
        return found
    if isinstance(found, PipelineTokenizer):
        raise ConfigError(
            f"max_word_chars = {max_word_chars} for a tokenizer of {found.description}",
            "a limit of BERT's WordPiece",
            "leave out --max-word-length",
        )
    pieces = found.vocab[: found.num_pieces]
    return Tokenizer(pieces, found.casing, found.added, max_word_chars)
