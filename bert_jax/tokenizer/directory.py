"""Read the tokenizer of a directory that Hugging Face, Google or `Tokenizer.save` wrote.

The ids are those of `transformers`: tokenizer.json counts, or where there is none, vocab.txt with
added_tokens.json. Nothing in these files is trusted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.errors import ConfigError, warn
from bert_jax.filesystem import read_json_object
from bert_jax.tokenizer.rules import MAX_WORD_CHARS, SPECIAL_TOKENS, AddedToken, Casing
from bert_jax.tokenizer.tokenizer_json import TokenizerJson, parse_added_token, refuse
from bert_jax.tokenizer.vocab_file import MAX_BYTES, check_special_tokens, name_every_id, read_lines

CONFIG, JSON, VOCAB, ADDED = (
    "tokenizer_config.json", "tokenizer.json", "vocab.txt", "added_tokens.json"
)  # fmt: skip
_OTHERS = (
    "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "vocab.json",
    "merges.txt", "tokenizer.pkl", "tokenizer.pickle",
)  # fmt: skip
_LIKE_BERTS = [
    f"{name}Tokenizer{fast}" for name in ("Bert", "DistilBert", "Electra") for fast in ("", "Fast")
]
_BY_JSON = ["PreTrainedTokenizerFast", "TokenizersBackend"]  # do what tokenizer.json says
_NAMED = ("bos_token", "eos_token")
_LISTED = ("additional_special_tokens", "extra_special_tokens")


class TokenizerParts(NamedTuple):
    """The arguments of a `Tokenizer`."""

    vocab: list[str]
    """Tokens of WordPiece, in the order of their ids."""
    casing: Casing
    """Normalization of letters."""
    added: tuple[AddedToken, ...]
    """Tokens that are matched whole; those that `vocab` lacks follow on its ids."""
    max_word_chars: int
    """Longer words are [UNK]."""


def read_described(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a folder's tokenizer.json; None if there is none.

    Raises:
        ConfigError: it cannot be read, or the folder's tokenizer has other files in its place.
    """
    if (folder / JSON).exists():
        return read_json_object(folder / JSON, MAX_BYTES)
    others = [] if (folder / VOCAB).exists() else [n for n in _OTHERS if (folder / n).exists()]
    if others:
        raise ConfigError(
            f"{folder} holds {', '.join(others)} but no {JSON}",
            f"a {JSON}, which holds a tokenizer of any kind",
            "write one with transformers: AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(FOLDER)",
        )
    return None


def read_tokenizer(
    folder: Path, raw: dict[str, Any] | None, log: Callable[[str], None] = warn
) -> TokenizerParts:
    """Read BERT's tokenizer of a folder.

    Args:
        folder: the folder.
        raw: the contents of its tokenizer.json, from `read_described`.
        log: called with each warning.

    Raises:
        ConfigError: files are missing, damaged, contradict each other, or are not of BERT's
            tokenizer.
    """
    config_path, json_path, vocab_path = folder / CONFIG, folder / JSON, folder / VOCAB
    config = read_json_object(config_path) if config_path.exists() else {}
    described = None if raw is None else TokenizerJson(json_path, raw)
    if described is None and not config:
        raise ConfigError(
            f"{folder} holds no tokenizer_config.json",
            'one with "do_lower_case" next to vocab.txt, or a tokenizer.json',
            "pass a folder that prepare.py or Hugging Face wrote",
        )
    name = config.get("tokenizer_class")
    if described is None and name not in (None, *_LIKE_BERTS):
        refuse(config_path, f"tokenizer_class is {name!r}")
    casing = _read_casing(folder, config, described)
    added = _read_added_tokens(folder, config, described)
    source, tokens = vocab_path, []
    if described is None:
        tokens = read_lines(vocab_path)
    else:
        source, size = json_path, max(described.tokens) + 1
        tokens = [described.tokens.get(index, "") for index in range(size)]
        if vocab_path.exists():
            _check_same(tokens, vocab_path, json_path)
    taken = {token.content for token in added.values()}
    vocab = name_every_id(_extend(tokens, added), source, log, taken)
    check_special_tokens(vocab, source, "use the tokenizer with which the model was trained")
    whole = _check_ids(vocab, added, folder)
    special = _special_names(folder, config) - taken
    whole += [AddedToken(t, special=True, normalized=False) for t in vocab if t in special]
    limit = MAX_WORD_CHARS if described is None else described.max_word_chars
    return TokenizerParts(vocab, casing, tuple(whole), limit)


def _read_casing(folder: Path, config: dict[str, Any], described: TokenizerJson | None) -> Casing:
    """Take the casing from tokenizer_config.json, or else from tokenizer.json's normalizer."""
    normalizer = described.normalizer if described else {}
    if config.get("tokenizer_class") in _BY_JSON:
        config = {}
    splits_ideographs = normalizer.get("handle_chinese_chars", True)
    if config.get("tokenize_chinese_chars", splits_ideographs) is False:
        raise ConfigError(
            f"{folder}: tokenize_chinese_chars is false",
            "BERT's tokenizer, which puts spaces around ideographs",
            "use another model",
        )
    lowercase = config.get("do_lower_case", normalizer.get("lowercase", True))
    strip_accents = config.get("strip_accents", normalizer.get("strip_accents"))
    for name, value in (("do_lower_case", lowercase), ("strip_accents", strip_accents)):
        if not isinstance(value, bool | None):
            raise ConfigError(
                f"{folder}: {name} = {value!r}"[:200], "true, false or null", "fix the file"
            )
    return Casing(lowercase is not False, strip_accents)


def _read_added_tokens(
    folder: Path, config: dict[str, Any], described: TokenizerJson | None
) -> dict[int, AddedToken]:
    """Return the added tokens by id; of the three files that may hold one, the last counts."""
    added: dict[int, AddedToken] = {}
    path = folder / ADDED
    if path.exists():
        special = _special_names(folder, config)
        for content, index in read_json_object(path).items():
            flags = {"special": content in special, "normalized": content not in special}
            added |= [parse_added_token({"content": content} | flags, index, path)]
    added |= described.added if described else {}
    listed = config.get("added_tokens_decoder") or {}
    path = folder / CONFIG
    if not isinstance(listed, dict):
        refuse(path, "added_tokens_decoder is no table")
    for index, entry in listed.items():
        number = int(index) if index.isdecimal() and len(index) < 9 else index
        added |= [parse_added_token(entry, number, path)]
    return added


def _special_names(folder: Path, config: dict[str, Any]) -> set[str]:
    """Return the special tokens, besides BERT's own, that the configuration names."""
    path = folder / "special_tokens_map.json"
    names: list[Any] = []
    for values in (config, read_json_object(path) if path.exists() else {}):
        names += [values.get(key) for key in _NAMED]
        for key in _LISTED:
            listed = values.get(key)
            names += listed if isinstance(listed, list) else []
    texts = [name.get("content") if isinstance(name, dict) else name for name in names]
    return {text for text in texts if isinstance(text, str)} - {*SPECIAL_TOKENS, ""}


def _check_same(vocab: list[str], vocab_path: Path, json_path: Path) -> None:
    """Raise unless vocab.txt has the tokens of tokenizer.json, or all but those of its holes.

    `tokenizers` leaves holes out of the vocab.txt that it writes.
    """
    lines = read_lines(vocab_path)
    last = {token: index for index, token in enumerate(lines)}
    kept = [token if last[token] == index else "" for index, token in enumerate(lines)]
    if kept == vocab or lines == [token for token in vocab if token]:
        return
    pairs = enumerate(zip(kept, vocab, strict=False), 1)
    shorter = min(len(kept), len(vocab))
    line = next((number for number, (a, b) in pairs if a != b), shorter + 1)
    here, there = (tokens[line - 1] if line <= len(tokens) else "" for tokens in (lines, vocab))
    raise ConfigError(
        f"{vocab_path}:{line} has {here!r}, but {json_path.name} has {there!r} as id {line - 1}",
        "one vocabulary in both files",
        f"remove the file that is out of date; transformers reads {json_path.name}",
    )


def _extend(tokens: list[str], added: dict[int, AddedToken]) -> list[str]:
    """Extend a vocabulary up to the first added token, or BERT's own special tokens among them.

    These stay in the vocabulary: in a text, they are brackets and letters.
    """
    own = [index + 1 for index, token in added.items() if token.content in SPECIAL_TOKENS]
    first = min((index for index in added if index >= len(tokens)), default=0)
    new = range(len(tokens), max([first, *own, len(tokens)]))
    extended = [*tokens, *(added[index].content if index in added else "" for index in new)]
    for index, token in added.items():
        if index < len(extended):
            extended[index] = extended[index] or token.content
    return extended


def _check_ids(vocab: list[str], added: dict[int, AddedToken], folder: Path) -> list[AddedToken]:
    """Return the added tokens in the order of their ids, which follow on those of `vocab`."""
    ids = {token: index for index, token in enumerate(vocab)}
    whole = []
    for index, token in sorted(added.items()):
        expected = ids.setdefault(token.content, len(ids))
        if index != expected:
            refuse(folder, f"the added token {token.content!r} has id {index}, not {expected}")
        if token.content not in SPECIAL_TOKENS:
            whole.append(token)
    return whole
