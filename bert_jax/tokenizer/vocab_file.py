"""Read a vocab.txt. Every line keeps its id, by which a trained model finds its embedding."""

from collections.abc import Callable, Iterable
from pathlib import Path

from bert_jax.errors import ConfigError, warn
from bert_jax.filesystem import read_text
from bert_jax.tokenizer.rules import SPECIAL_TOKENS

MAX_TOKENS = 1 << 21  # four times LaBSE's
MAX_BYTES = 1 << 25  # of a vocab.txt or tokenizer.json; LaBSE's have 5 and 14 MB


def read_vocab(path: Path, log: Callable[[str], None] = warn) -> list[str]:
    """Read and check a vocab.txt: one token per line; its id is the line's number from 0.

    Args:
        path: the file.
        log: called with a warning for lines that are read as another token, see `name_every_id`.

    Raises:
        ConfigError: the file is missing, too large or not UTF-8, or a special token is missing.
    """
    tokens = name_every_id(read_lines(path), path, log)
    fix = "add the missing lines at the end, or train a new vocabulary"
    check_special_tokens(tokens, path, fix)
    return tokens


def read_lines(path: Path) -> list[str]:
    """Read the lines of a vocab.txt, without the empty ones at its end."""
    text = read_text(path, MAX_BYTES)
    check_size(text.count("\n"), path)
    tokens = [line.removesuffix("\r") for line in text.split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    return tokens


def name_every_id(
    tokens: list[str], path: Path, log: Callable[[str], None], taken: Iterable[str] = ()
) -> list[str]:
    """Give a free name, "[unusedN]", to each id that no text can give.

    These are ids without a token, and the first of two with the same: `transformers`, as the code
    of BERT's authors, takes the last. So no id changes.

    Args:
        tokens: tokens in the order of their ids; "" for an id without one.
        path: the file that they are from.
        log: called with a warning that names such ids.
        taken: further names that are not free.
    """
    last = dict.fromkeys(taken, -1) | {token: index for index, token in enumerate(tokens)}
    named, examples, count, number = list(tokens), [], 0, 0
    for index, token in enumerate(tokens):
        can_occur = token and "\n" not in token and "\r" not in token
        if can_occur and last[token] == index:
            continue
        while f"[unused{number}]" in last:
            number += 1
        named[index] = f"[unused{number}]"
        last[named[index]] = index
        count += 1
        if count <= 3:
            reason = f"{token!r} is also id {last[token]:,}" if can_occur else "no token"
            examples.append(f"id {index:,} ({reason}) is named {named[index]}")
    if count:
        more = f"; and {count - 3:,} more" if count > 3 else ""
        log(f"{path}: {'; '.join(examples)}{more}; all ids stay as they are")
    return named


def check_size(num_tokens: int, path: Path) -> None:
    """Raise a `ConfigError` if a file has more tokens than any vocabulary."""
    if num_tokens > MAX_TOKENS:
        raise ConfigError(
            f"{path} has {num_tokens:,} tokens",
            f"at most {MAX_TOKENS:,}",
            "check that it is the file that you mean",
        )


def check_special_tokens(tokens: Iterable[str], path: Path, fix: str) -> None:
    """Raise a `ConfigError` if one of the special tokens is missing."""
    present = set(tokens)
    missing = [token for token in SPECIAL_TOKENS if token not in present]
    if missing:
        raise ConfigError(
            f"{path}: {' '.join(missing)} missing among {len(present)} tokens",
            "one token per line, UTF-8, [PAD] [UNK] [CLS] [SEP] [MASK] among them",
            fix,
        )
