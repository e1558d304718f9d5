"""Read a tokenizer.json of BERT's tokenizer, and tell it from others."""

from pathlib import Path
from typing import Any, NoReturn

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.rules import MAX_WORD_CHARS, AddedToken
from bert_jax.tokenizer.vocab_file import MAX_TOKENS, check_size

MAX_LONGEST_WORD = 10_000  # `tokenizers` needs quadratic time for a word

_COMPONENTS = {
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"},
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SINGLE = [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
_PAIR = [*_SINGLE, ("B", 1), ("[SEP]", 1)]


def is_berts(described: dict[str, Any]) -> bool:
    """Return whether the contents of a tokenizer.json are rules of BERT's tokenizer."""
    for name, expected in _COMPONENTS.items():
        found = described.get(name)
        if not isinstance(found, dict):
            return False
        # Files of 2020 have no type of the model.
        found = {"type": "WordPiece"} | found if name == "model" else found
        missing = {key: value for key, value in expected.items() if key != "type"}
        if any((missing | found).get(key) != value for key, value in expected.items()):
            return False
    return _adds_berts_tokens(described.get("post_processor"))


def _adds_berts_tokens(processor: Any) -> bool:
    """Return whether [CLS] and [SEP] are added as BERT's are; `tokenizers` may write none."""
    if processor is None:
        return True
    try:
        if processor["type"] == "BertProcessing":
            return [processor["cls"][0], processor["sep"][0]] == ["[CLS]", "[SEP]"]
        pieces = [_pieces(processor["single"]), _pieces(processor["pair"])]
        return processor["type"] == "TemplateProcessing" and pieces == [_SINGLE, _PAIR]
    except (KeyError, TypeError, IndexError, AttributeError):
        return False


class TokenizerJson:
    """A tokenizer.json of BERT's tokenizer.

    Args:
        path: the file.
        raw: its contents, with which `is_berts` is true.

    Raises:
        ConfigError: it is damaged.
    """

    def __init__(self, path: Path, raw: dict[str, Any]):
        self.path = path
        self.normalizer: dict[str, Any] = raw["normalizer"]
        limit = raw["model"].get("max_input_chars_per_word", MAX_WORD_CHARS)
        if type(limit) is not int or not 1 <= limit <= MAX_LONGEST_WORD:
            refuse(path, f"max_input_chars_per_word is {limit!r}")
        self.max_word_chars: int = limit
        self.tokens: dict[int, str] = self._read_vocab(raw["model"].get("vocab"))
        added = raw.get("added_tokens", [])
        if not isinstance(added, list):
            refuse(path, "added_tokens is no list")
        self.added: dict[int, AddedToken] = dict(
            parse_added_token(entry, entry.get("id") if isinstance(entry, dict) else None, path)
            for entry in added
        )

    def _read_vocab(self, vocab: Any) -> dict[int, str]:
        """Return the vocabulary, id → token; there can be holes."""
        if not isinstance(vocab, dict) or not vocab:
            refuse(self.path, "model.vocab is no table of tokens")
        ids = vocab.values()
        if not all(type(i) is int and 0 <= i < MAX_TOKENS for i in ids):
            refuse(
                self.path, f"model.vocab has ids that are not whole numbers below {MAX_TOKENS:,}"
            )
        if len(set(ids)) < len(vocab):
            refuse(self.path, "model.vocab has two tokens with one id")
        check_size(len(vocab), self.path)
        check_text("".join(vocab), self.path)
        return {index: token for token, index in vocab.items()}


def parse_added_token(entry: Any, index: Any, path: Path) -> tuple[int, AddedToken]:
    """Check an added token of a tokenizer.json or tokenizer_config.json; return its id and itself.

    Raises:
        ConfigError: it has no text, an id that is none, or a flag that is neither true nor false.
    """
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(content, str) or not content:
        refuse(path, f"an added token is {entry!r}")
    if type(index) is not int or not 0 <= index < MAX_TOKENS:
        refuse(path, f"the added token {content!r} has the id {index!r}")
    check_text(content, path)
    flags = {name: entry[name] for name in _FLAGS if name in entry}
    if not all(isinstance(value, bool) for value in flags.values()):
        refuse(path, f"the added token {content!r} has {flags}")
    return index, AddedToken(content, **flags)


def check_text(text: str, path: Path) -> None:
    """Raise a `ConfigError` if a text of a JSON file cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(path, "a token has half a surrogate pair, which is no character")


def refuse(path: Path, what: str) -> NoReturn:
    """Raise a `ConfigError` for a file that is not of BERT's tokenizer."""
    raise ConfigError(
        f"{path}: {what}"[:300],
        "the files of BERT's tokenizer",
        "use another model; other tokenizers would give other ids than it was trained with",
    )


def _pieces(template: list[Any]) -> list[tuple[str, int]]:
    """Return the names and segments of a template's pieces."""
    return [(values["id"], values["type_id"]) for piece in template for values in [*piece.values()]]
