"""BERT's WordPiece tokenizer: the rules of `tokenizers`, in files that Hugging Face loads."""

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

from bert_jax.errors import ConfigError
from bert_jax.filesystem import MAX_TEXT_BYTES, read_json_object, read_text
from bert_jax.tokenizer.wordcache import WordCache

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
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

    def normalizer(self) -> normalizers.Normalizer:
        """Return BERT's normalizer: control characters, spaces around ideographs, case, accents."""
        return normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=True,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )


def read_vocab(path: Path) -> list[str]:
    """Read and check a vocab.txt: one token per line; its id is the line's number from 0.

    Raises:
        ConfigError: the file is missing or not UTF-8, a line is empty, a token is duplicated, or a
            special token is missing.
    """
    expected = "one token per line, UTF-8, [PAD] [UNK] [CLS] [SEP] [MASK] among them"
    text = read_text(path)
    tokens = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    first_seen: dict[str, int] = {}
    for number, token in enumerate(tokens, 1):
        if not token:
            raise ConfigError(f"{path}:{number}: empty line", expected, "remove the line")
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
            expected,
            "add the missing lines at the end, or train a new vocabulary",
        )
    return tokens


def _read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if there is no file."""
    return read_json_object(path, MAX_TEXT_BYTES) if path.exists() else {}


def _vocab_of(path: Path, tokenizer_json: dict[str, Any]) -> list[str]:
    """Return the vocabulary of a tokenizer.json, in the order of the ids."""
    try:
        if tokenizer_json["model"]["type"] != "WordPiece":
            raise ValueError(f"its model is {tokenizer_json['model']['type']}")
        ids = dict(tokenizer_json["model"]["vocab"])
        ids |= {token["content"]: token["id"] for token in tokenizer_json.get("added_tokens", [])}
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
            "add a vocab.txt next to it, or use another model",
        ) from None


class Tokenizer:
    """Text to WordPiece ids and back.

    `encode` equals Hugging Face's BERT tokenizer without special tokens, with one deliberate
    difference: "[MASK]" or "[SEP]" written in a text are brackets and letters, never the special
    token.

    Args:
        vocab: tokens in the order of their ids.
        casing: normalization of letters.
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
        """Load a folder that `save` or Hugging Face wrote: vocab.txt or else tokenizer.json.

        Raises:
            ConfigError: files are missing, damaged, or not of a BERT tokenizer.
        """
        folder = Path(folder)
        config = _read_json_object(folder / "tokenizer_config.json")
        tokenizer_json = _read_json_object(folder / "tokenizer.json")
        if not config and not tokenizer_json:
            raise ConfigError(
                f"{folder} holds no tokenizer_config.json",
                'one with "do_lower_case" next to vocab.txt, or a tokenizer.json',
                "pass a folder that prepare.py or Hugging Face wrote",
            )
        normalizer = tokenizer_json.get("normalizer")
        normalizer = normalizer if isinstance(normalizer, dict) else {}
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
        casing = Casing(lowercase is not False, strip_accents)
        if (folder / "vocab.txt").exists() or not tokenizer_json:
            return cls(read_vocab(folder / "vocab.txt"), casing)
        return cls(_vocab_of(folder / "tokenizer.json", tokenizer_json), casing)

    def save(self, folder: str | Path, model_max_length: int = 512) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json for Hugging Face.

        Args:
            folder: folder to write to; created if need be.
            model_max_length: longest input of the model in tokens.
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
        fast = self._make_pipeline()
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
        """Hash of vocabulary and casing: tokenizers with equal hashes give equal ids."""
        casing = [self.casing.lowercase, self.casing.strips_accents]
        return hashlib.sha256(json.dumps([self.vocab, casing]).encode()).hexdigest()

    @functools.cached_property
    def is_continuation(self) -> Bool[np.ndarray, "V"]:
        """True for each token that continues a word ("##ing"), for whole-word masking."""
        return np.array([token.startswith("##") for token in self.vocab])

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids."""
        return [self.vocab[index] for index in ids]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without [CLS] and [SEP]."""
        return self.encode_flat([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without [CLS] and [SEP]."""
        ids, counts = self.encode_flat(texts)
        ends = np.cumsum(counts)
        return [ids[end - count : end].tolist() for end, count in zip(ends, counts, strict=True)]

    def encode_flat(
        self, texts: Sequence[str]
    ) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "texts"]]:
        """Return the ids of all texts in one array, and the number of ids of each text."""
        return self._cache.encode(texts)

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[list[int], list[int], list[int]]]:
        """Return, for each text, its ids, and the first and last + 1 character of each id."""
        valid = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates: "?"
        encodings = self._pipeline.encode_batch(valid, add_special_tokens=False)
        return [
            (e.ids, [start for start, _ in e.offsets], [end for _, end in e.offsets])
            for e in encodings
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return readable text: pieces joined to words, without [PAD], [CLS] and [SEP]."""
        specials = {self.pad_id, self.cls_id, self.sep_id}
        tokens = [self.vocab[index] for index in ids if index not in specials]
        return decoders.WordPiece(prefix="##", cleanup=True).decode(tokens)

    @functools.cached_property
    def _pipeline(self) -> FastTokenizer:
        return self._make_pipeline()

    @functools.cached_property
    def _cache(self) -> WordCache:
        return WordCache(self._make_pipeline(), self._ids, self.unk_id)

    def _make_pipeline(self) -> FastTokenizer:
        """Build the plain `tokenizers` pipeline, without added tokens."""
        model = models.WordPiece(
            self._ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARS
        )
        fast = FastTokenizer(model)
        fast.normalizer = self.casing.normalizer()  # pyrefly: ignore
        fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyrefly: ignore
        fast.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # pyrefly: ignore
        return fast
