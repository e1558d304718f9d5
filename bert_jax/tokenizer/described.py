"""The contents of a tokenizer.json of any kind: checked, changed, and run by `tokenizers`."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.vocab_file import MAX_TOKENS, check_size

_RARE = "a \u4dff \U00013080"  # characters that few vocabularies have


def open_pipeline(described: dict[str, Any], path: Path) -> FastTokenizer:
    """Return the pipeline of `tokenizers` for the contents of a tokenizer.json.

    Raises:
        ConfigError: `tokenizers` cannot use them.
    """
    try:
        fast = FastTokenizer.from_str(json.dumps(described))
        fast.encode(_RARE)  # fails without a token for what is unknown
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as reason:  # a panic of Rust is no Exception
        raise ConfigError(
            f"{path}: {' '.join(str(reason).split())}"[:300],
            "a tokenizer.json that the library `tokenizers` reads",
            "download it again, or write it with a newer version of tokenizers",
        ) from None
    return fast


def model_vocab(described: dict[str, Any], path: Path) -> dict[str, int]:
    """Return the tokens of the model of a tokenizer.json, with their ids.

    Raises:
        ConfigError: there are none, too many, or ids that are none; or it draws random numbers.
    """
    model = described.get("model")
    model = model if isinstance(model, dict) else {}
    vocab = model.get("vocab")
    if isinstance(vocab, list) and all(map(_is_piece, vocab)):
        vocab = {piece: index for index, (piece, _) in enumerate(vocab)}
    vocab = vocab if isinstance(vocab, dict) else {}
    wrong = None
    if not vocab:
        wrong = "model.vocab is no table of tokens"
    elif not all(type(i) is int and 0 <= i < MAX_TOKENS for i in vocab.values()):
        wrong = f"model.vocab has ids that are not whole numbers below {MAX_TOKENS:,}"
    elif model.get("dropout"):
        wrong = f"model.dropout is {model['dropout']!r}: a text has other ids each time"
    if wrong:
        raise ConfigError(f"{path}: {wrong}"[:300], "a tokenizer.json", "restore the file")
    check_size(len(vocab), path)
    return vocab


def without_pieces(model: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """Return a model that does not find the `hidden` tokens as pieces: they have other names."""
    vocab, hidden = model["vocab"], hidden - {model.get("unk_token")}

    def name(token: str) -> str:
        return f"\0{token}" if token in hidden else token

    if isinstance(vocab, dict):
        return model | {"vocab": {name(token): index for token, index in vocab.items()}}
    return model | {"vocab": [[name(token), score] for token, score in vocab]}


def _is_piece(entry: Any) -> bool:
    """Return whether an entry of a Unigram vocabulary is a piece and its score."""
    return isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)


def follow_config(described: dict[str, Any], config: dict[str, Any]) -> None:
    """Take `add_prefix_space` from tokenizer_config.json, as the classes for byte-level BPE do."""
    value, name = config.get("add_prefix_space"), config.get("tokenizer_class")
    part = described.get("pre_tokenizer")
    by_json = name in (None, "PreTrainedTokenizerFast", "TokenizersBackend")
    part = part if isinstance(part, dict) else {}
    if isinstance(value, bool) and part.get("type") == "ByteLevel" and not by_json:
        described["pre_tokenizer"] = part | {"add_prefix_space": value}
