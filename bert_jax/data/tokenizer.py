"""BERT's WordPiece tokenizer: the rules of `tokenizers`, and files that Hugging Face loads."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bert_jax.data.wordcache import WordCache
from bert_jax.errors import ConfigError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_WORD_CHARS = 100  # longer words are [UNK], as in Hugging Face (the original: 200)


@dataclasses.dataclass(frozen=True)
class Casing:
    """What happens to letters before they are looked up."""

    lowercase: bool = False
    """Lower-case the text (uncased models)."""
    strip_accents: bool | None = None
    """Take accents off, by NFD, which takes Hangul apart; None does so exactly when
    lower-casing.
    """

    @property
    def strips_accents(self) -> bool:
        """Whether accents are taken off."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    def normalizer(self) -> normalizers.Normalizer:
        """BERT's text cleaning: control characters, spaces around ideographs, case, accents."""
        return normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=True,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )


def read_vocab(path: Path) -> list[str]:
    """Reads and checks a vocab.txt: one token a line, its id the line's number from 0.

    Raises:
        ConfigError: missing or undecodable file, an empty line, a token twice, a special token
            missing.
    """
    wanted = "one token per line, UTF-8, [PAD] [UNK] [CLS] [SEP] [MASK] among them"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"vocabulary {path} cannot be read: {error}", wanted, "give a vocab.txt, or train one"
        ) from None
    tokens = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    first_seen: dict[str, int] = {}
    for number, token in enumerate(tokens, 1):
        if not token:
            raise ConfigError(f"{path}:{number}: empty line", wanted, "remove the line")
        if token in first_seen:
            raise ConfigError(
                f"{path}:{number}: token {token!r} is already on line {first_seen[token]}",
                "every token once",
                "remove one of the two, or train a new vocabulary",
            )
        first_seen[token] = number
    missing = [token for token in SPECIAL_TOKENS if token not in first_seen]
    if missing:
        raise ConfigError(
            f"{path}: {' '.join(missing)} missing among {len(tokens)} tokens",
            wanted,
            "add the missing lines at the end, or train a new vocabulary",
        )
    return tokens


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is no file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return value
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error!r}", "a JSON object", "restore the file"
        ) from None


def _fast_vocab(path: Path, fast: dict[str, Any]) -> list[str]:
    """The vocabulary of a tokenizer.json, in the order of the ids."""
    try:
        if fast["model"]["type"] != "WordPiece":
            raise ValueError(f"its model is {fast['model']['type']}")
        ids = dict(fast["model"]["vocab"])
        ids |= {token["content"]: token["id"] for token in fast.get("added_tokens", [])}
        vocab = sorted(ids, key=ids.__getitem__)
        if [ids[token] for token in vocab] != list(range(len(vocab))):
            raise ValueError("the ids are not 0 … n-1")
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ValueError(f"{' '.join(missing)} missing")
        return vocab
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no WordPiece tokenizer: {error}",
            "the tokenizer.json of a BERT model",
            "give a vocab.txt beside it, or another model",
        ) from None


class Tokenizer:
    """Text to WordPiece ids and back.

    `encode` equals Hugging Face's BERT tokenizer without special tokens, with one difference on
    purpose: "[MASK]" or "[SEP]" written in a text are brackets and letters, never the special
    token.

    Args:
        vocab: tokens in the order of their ids.
        casing: what happens to letters.
    """

    def __init__(self, vocab: Sequence[str], casing: Casing = Casing()):
        self.vocab = list(vocab)
        self.casing = casing
        self._ids = {token: index for index, token in enumerate(self.vocab)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self._ids[token] for token in SPECIAL_TOKENS
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Reads a folder that `save` wrote, or Hugging Face: vocab.txt or else tokenizer.json.

        Raises:
            ConfigError: files that are missing, damaged, or not of a BERT tokenizer.
        """
        folder = Path(folder)
        config = _read_object(folder / "tokenizer_config.json")
        fast = _read_object(folder / "tokenizer.json")
        if not config and not fast:
            raise ConfigError(
                f"{folder} holds no tokenizer_config.json",
                'one with "do_lower_case" beside vocab.txt, or a tokenizer.json',
                "give a folder that prepare.py or Hugging Face wrote",
            )
        normalizer = fast.get("normalizer")
        normal = normalizer if isinstance(normalizer, dict) else {}
        if config.get("tokenize_chinese_chars", normal.get("handle_chinese_chars", True)) is False:
            raise ConfigError(
                f"{folder}: tokenize_chinese_chars is false",
                "BERT's tokenizer, which puts spaces around ideographs",
                "use another model",
            )
        lowercase = config.get("do_lower_case", normal.get("lowercase", True))
        strip_accents = config.get("strip_accents", normal.get("strip_accents"))
        for name, value in (("do_lower_case", lowercase), ("strip_accents", strip_accents)):
            if not isinstance(value, bool | None):
                raise ConfigError(
                    f"{folder}: {name} = {value!r}"[:200], "true, false or null", "mend the file"
                )
        casing = Casing(lowercase is not False, strip_accents)
        if (folder / "vocab.txt").exists() or not fast:
            return cls(read_vocab(folder / "vocab.txt"), casing)
        return cls(_fast_vocab(folder / "tokenizer.json", fast), casing)

    def save(self, folder: str | Path, model_max_length: int = 512) -> None:
        """Writes vocab.txt, tokenizer.json and tokenizer_config.json, as Hugging Face expects
        them.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("".join(f"{t}\n" for t in self.vocab), encoding="utf-8")
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.casing.lowercase,
            "strip_accents": self.casing.strip_accents,
            "tokenize_chinese_chars": True,
            "model_max_length": model_max_length,
            **{f"{token[1:-1].lower()}_token": token for token in SPECIAL_TOKENS},
        }
        text = json.dumps(config, indent=2) + "\n"
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
        fast = self._fast()
        fast.add_special_tokens(list(SPECIAL_TOKENS))
        fast.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", self.cls_id), ("[SEP]", self.sep_id)],
        )
        text = json.dumps(json.loads(fast.to_str()), indent=1, ensure_ascii=False, sort_keys=False)
        (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""
        return len(self.vocab)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the vocabulary and the casing: two tokenizers with the same hash give the same
        ids.
        """
        casing = [self.casing.lowercase, self.casing.strips_accents]
        return hashlib.sha256(json.dumps([self.vocab, casing]).encode()).hexdigest()

    @functools.cached_property
    def is_continuation(self) -> Bool[np.ndarray, "V"]:
        """Whether a token goes on with a word ("##ing"), for whole-word masking."""
        return np.array([token.startswith("##") for token in self.vocab])

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids."""
        return [self.vocab[index] for index in ids]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without [CLS] and [SEP]."""
        return self.encode_flat([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without [CLS] and [SEP]."""
        ids, counts = self.encode_flat(texts)
        ends = np.cumsum(counts)
        return [ids[end - count : end].tolist() for end, count in zip(ends, counts, strict=True)]

    def encode_flat(
        self, texts: Sequence[str]
    ) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "texts"]]:
        """The ids of all texts in one array, and how many each text has."""
        return self._cache.encode(texts)

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[list[int], list[int], list[int]]]:
        """For each text its ids, and the first and last + 1 character of each."""
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates: "?"
        encodings = self._fast_pipeline.encode_batch(whole, add_special_tokens=False)
        return [
            (e.ids, [start for start, _ in e.offsets], [end for _, end in e.offsets])
            for e in encodings
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to readable text: pieces joined to words, special tokens left out."""
        specials = {self.pad_id, self.cls_id, self.sep_id}
        tokens = [self.vocab[index] for index in ids if index not in specials]
        return decoders.WordPiece(prefix="##", cleanup=True).decode(tokens)

    @functools.cached_property
    def _fast_pipeline(self) -> FastTokenizer:
        return self._fast()

    @functools.cached_property
    def _cache(self) -> WordCache:
        return WordCache(self._fast(), self._ids, self.unk_id)

    def _fast(self) -> FastTokenizer:
        """The plain `tokenizers` pipeline, without added tokens."""
        model = models.WordPiece(
            self._ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARS
        )
        fast = FastTokenizer(model)
        fast.normalizer = self.casing.normalizer()  # pyrefly: ignore
        fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyrefly: ignore
        fast.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # pyrefly: ignore
        return fast
