"""The rules of a BERT tokenizer: special tokens, casing, and tokens that are matched whole."""

import dataclasses
from typing import Any

import tokenizers
from tokenizers import normalizers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK = "[MASK]"  # in texts for any tokenizer
MAX_WORD_CHARS = 100  # longer words are [UNK], as in Hugging Face (the original: 200)


@dataclasses.dataclass(frozen=True)
class Casing:
    """Normalization of letters: case and accents."""

    lowercase: bool = False
    """Lower-case the text (uncased models)."""
    strip_accents: bool | None = None
    """Strip accents, by NFD, which splits Hangul into jamo; None does so if lower-casing."""

    @property
    def strips_accents(self) -> bool:
        """True if accents are stripped."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    @property
    def description(self) -> str:
        """Case and accents, for people."""
        cased = "uncased" if self.lowercase else "cased"
        return f"{cased}, accents {'off' if self.strips_accents else 'kept'}"

    def normalizer(self) -> normalizers.Normalizer:
        """Return BERT's normalizer: control characters, spaces around ideographs, case, accents."""
        return normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=True,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )


CASED = Casing()


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is matched whole, before the text is split into words, as in `tokenizers`."""

    content: str
    """Text of the token."""
    single_word: bool = False
    """Match it only between characters that are not part of a word."""
    lstrip: bool = False
    """Match white space on its left too."""
    rstrip: bool = False
    """Match white space on its right too."""
    normalized: bool = True
    """Match it in the normalized text; False: in the text as it is written."""
    special: bool = False
    """Mark it as a special token, which `transformers` can leave out when it decodes."""

    def entry(self, index: int) -> dict[str, Any]:
        """Return the token as an entry of a tokenizer.json."""
        return {"id": index} | dataclasses.asdict(self)

    def for_tokenizers(self) -> tokenizers.AddedToken:
        """Return the same token as an object of `tokenizers`."""
        return tokenizers.AddedToken(**dataclasses.asdict(self))
