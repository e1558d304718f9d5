"""Subword (byte-pair encoding) or character vocabulary, shared by source and target.

Decoding restores the text up to runs of spaces: a space is "▁" before a word, so tokens are simply
joined (as in SentencePiece, Kudo and Richardson 2018). A vocabulary is saved as one JSON file that
`tokenizers` opens.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError, DataError

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
PAD, UNK, START, END = range(len(SPECIAL))
FILE = "vocabulary.json"


class Subwords:
    """A vocabulary: text to token ids and back."""

    def __init__(self, fast: FastTokenizer):
        fast.encode_special_tokens = True  # "<s>" in a text is three characters
        self._fast = fast
        self.size = fast.get_vocab_size()
        self.sha256 = hashlib.sha256(fast.to_str().encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without START and END."""
        encodings = self._fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids up to END, without PAD."""
        ids = list(ids)
        ids = ids[: ids.index(END)] if END in ids else ids
        return self._fast.decode([i for i in ids if i not in (PAD, START)], False).strip()

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens as text, for display."""
        return [self._fast.id_to_token(i) or "?" for i in ids]

    def unknown(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the symbols of each text that are not in the vocabulary."""
        encodings = self._fast.encode_batch(list(texts), add_special_tokens=False)
        return [
            [
                text[start:stop]
                for i, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
                if i == UNK
            ]
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write vocabulary.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self._fast.save(str(folder / FILE))

    @classmethod
    def load(cls, folder: Path) -> "Subwords":
        """Load the vocabulary that `save` wrote.

        Raises:
            ConfigError: the file is missing, damaged, or a different kind of vocabulary.
        """
        path, expected = folder / FILE, "a vocabulary that train_translator.py wrote"
        try:
            fast = FastTokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise ConfigError(f"{path} cannot be read: {error}", expected, "restore it") from None
        special = tuple(fast.id_to_token(i) for i in range(len(SPECIAL)))
        if special != SPECIAL:
            raise ConfigError(f"{path} starts with {special}", expected, "restore it")
        return cls(fast)


def train_subwords(texts: Iterable[str], size: int, lowercase: bool) -> Subwords:
    """Train byte-pair encoding of words (Sennrich et al. 2016); punctuation is never merged.

    Args:
        texts: of source and target together.
        size: number of tokens; there are fewer if the texts have too few subwords.
        lowercase: lower-case everything.
    """
    fast = FastTokenizer(models.BPE(unk_token=SPECIAL[UNK]))
    fast.normalizer = _normalizer(lowercase)  # pyrefly: ignore
    fast.pre_tokenizer = pre_tokenizers.Sequence(  # pyrefly: ignore
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
    )
    fast.decoder = decoders.Metaspace()  # pyrefly: ignore
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
    )
    fast.train_from_iterator(_require_text(texts), trainer)
    return Subwords(fast)


def train_characters(texts: Iterable[str], lowercase: bool) -> Subwords:
    """Make a vocabulary in which every character of the texts is a token."""
    normalizer = _normalizer(lowercase)
    characters = sorted(set().union(*map(set, map(normalizer.normalize_str, _require_text(texts)))))
    vocab = {token: i for i, token in enumerate([*SPECIAL, *characters])}
    fast = FastTokenizer(models.WordLevel(vocab, unk_token=SPECIAL[UNK]))
    fast.normalizer = normalizer  # pyrefly: ignore
    fast.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")  # pyrefly: ignore
    fast.decoder = decoders.Fuse()  # pyrefly: ignore
    fast.add_special_tokens(list(SPECIAL))
    return Subwords(fast)


def _normalizer(lowercase: bool) -> normalizers.Normalizer:
    steps = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence([*steps, *([normalizers.Lowercase()] if lowercase else [])])


def _require_text(texts: Iterable[str]) -> list[str]:
    texts = list(texts)
    if not any(text.strip() for text in texts):
        raise DataError(
            "the text has no characters to build a vocabulary from",
            "readable text",
            "check the files",
        )
    return texts
