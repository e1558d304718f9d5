"""Read a tokenizer.json of `tokenizers`. What differs from BERT's tokenizer is refused by name."""

from pathlib import Path
from typing import Any, NoReturn

from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_json_object
from bert_jax.tokenizer.rules import MAX_WORD_CHARS, AddedToken
from bert_jax.tokenizer.vocab_file import MAX_BYTES, MAX_TOKENS, check_size

MAX_LONGEST_WORD = 10_000  # `tokenizers` needs quadratic time for a word

_COMPONENTS = {
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"},
    "normalizer": {"type": "BertNormalizer", "clean_text": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SINGLE = [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
_PAIR = [*_SINGLE, ("B", 1), ("[SEP]", 1)]


class TokenizerJson:
    """A tokenizer.json.

    Args:
        path: the file.

    Raises:
        ConfigError: it cannot be read, or describes another tokenizer than BERT's.
    """

    def __init__(self, path: Path):
        self.path = path
        raw = read_json_object(path, MAX_BYTES)
        for name, expected in _COMPONENTS.items():
            self._check_component(name, raw.get(name), expected)
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
        self._check_post_processor(raw.get("post_processor"))

    def _check_component(self, name: str, found: Any, expected: dict[str, Any]) -> None:
        if not isinstance(found, dict):
            refuse(self.path, f"{name} is {found!r}, not {expected['type']}")
        # Files of 2020 have no type of the model.
        found = {"type": "WordPiece"} | found if name == "model" else found
        for key, value in expected.items():
            default = value if key != "type" else None
            if found.get(key, default) != value:
                refuse(self.path, f"{name}.{key} is {found.get(key)!r}, not {value!r}")

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

    def _check_post_processor(self, found: Any) -> None:
        """Raise unless it adds [CLS] and [SEP] as BERT's does; `tokenizers` may write none."""
        if found is None:
            return
        kind = found.get("type") if isinstance(found, dict) else found
        try:
            if kind == "BertProcessing":
                names = [found["cls"][0], found["sep"][0]]
                is_berts = names == ["[CLS]", "[SEP]"]
            else:
                pieces = [_pieces(found["single"]), _pieces(found["pair"])]
                is_berts = kind == "TemplateProcessing" and pieces == [_SINGLE, _PAIR]
        except (KeyError, TypeError, IndexError, AttributeError):
            is_berts = False
        if not is_berts:
            refuse(self.path, f"post_processor, a {kind!r}, is not [CLS] A [SEP] B [SEP]")


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
