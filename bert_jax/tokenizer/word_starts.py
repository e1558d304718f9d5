"""Which tokens continue a word: by "##", by "Ġ" (byte-level) or by "▁" (Metaspace)."""

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from tokenizers import pre_tokenizers

# Scripts without spaces between words: each of their characters is a word, as BERT has ideographs.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_MAX_DEPTH = 8  # of components in components; a file of a stranger could nest them without end


class Marks:
    """The marks by which the tokens of a tokenizer.json tell where words start.

    Args:
        described: the contents of tokenizer.json.
    """

    def __init__(self, described: dict[str, Any]):
        parts = list(_components(described))
        types = {part.get("type") for part in parts}
        model = described["model"]
        self.is_byte_level = "ByteLevel" in types
        self.prefix: str = model.get("continuing_subword_prefix") or ""
        spaces = [part.get("replacement") for part in parts if part.get("type") == "Metaspace"]
        if model.get("type") == "Unigram" or model.get("byte_fallback"):
            spaces.append("▁")  # by a normalizer that replaces spaces, as SentencePiece's
        self.space: str = next((space for space in spaces if isinstance(space, str)), "")

    @property
    def exist(self) -> bool:
        """False for a tokenizer whose tokens do not tell whether they start a word."""
        return bool(self.is_byte_level or self.prefix or self.space)

    def read(self, token: str) -> tuple[str, bool]:
        """Return the text of a token without its mark, and whether it continues a word.

        Bytes that are only a part of a character are "�".
        """
        if self.is_byte_level:
            raw = bytes(_byte_of().get(character, 63) for character in token)
            text, character = raw.decode(errors="replace"), _first_character(raw)
        else:
            text = token.replace(self.space, " ") if self.space else token
            if self.prefix and text.startswith(self.prefix):
                return text.removeprefix(self.prefix), True
            character = text[:1]
        starts = (
            not (self.is_byte_level or self.space)
            or not character
            or character.isspace()
            or unicodedata.name(character, "").startswith(_UNSPACED)
        )
        return text.strip() or text, not starts

    def continuations(self, tokens: Sequence[str], whole: set[str]) -> Bool[np.ndarray, "V"]:
        """Return True for each token that continues a word; never for those matched whole."""
        return np.array([token not in whole and self.read(token)[1] for token in tokens])


@functools.cache
def _byte_of() -> dict[str, int]:
    """Return the byte that each character of a byte-level token stands for (GPT-2's table)."""
    shown = {ord(c) for c in pre_tokenizers.ByteLevel.alphabet() if ord(c) < 256}
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(b): b for b in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


def _first_character(raw: bytes) -> str:
    """Return the first character of bytes; of one that is cut off, the first with such bytes.

    So the first bytes of an ideograph are known to begin one. Bytes inside of a character continue.
    """
    size = next((n for n, low in ((4, 0xF0), (3, 0xE0), (2, 0xC0)) if raw[:1] >= bytes([low])), 1)
    complete = raw[:size] + b"\x80" * (size - len(raw[:size]))
    return complete.decode(errors="replace")[:1] if raw else ""


def _components(part: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the normalizers, pre-tokenizers and decoders of a tokenizer.json."""
    if not isinstance(part, dict) or depth > _MAX_DEPTH:
        return
    yield part
    names = ("normalizer", "pre_tokenizer", "decoder")
    inner = [part.get(name) for name in names]
    for name in ("normalizers", "pretokenizers", "decoders"):
        inner += part[name] if isinstance(part.get(name), list) else []
    for component in inner:
        yield from _components(component, depth + 1)
