"""BERT's WordPiece tokenizer: the rules of `tokenizers`, in files that Hugging Face loads.

Tokenizers of other kinds are the same to their users: `bert_jax/tokenizer/pipeline.py`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, processors

from bert_jax.errors import warn
from bert_jax.filesystem import write_text
from bert_jax.tokenizer.directory import read_described, read_tokenizer
from bert_jax.tokenizer.finder import AddedTokenFinder
from bert_jax.tokenizer.rules import (
    CASED,
    MASK,
    MAX_WORD_CHARS,
    SPECIAL_TOKENS,
    AddedToken,
    Casing,
)
from bert_jax.tokenizer.tokenizer_json import is_berts
from bert_jax.tokenizer.wordcache import WordCache
from bert_jax.tokenizer.wordpieces import WordPieces


class Tokenizer:
    """Text to WordPiece ids and back.

    `encode` equals Hugging Face's BERT tokenizer without special tokens, with one deliberate
    difference: "[MASK]" or "[SEP]" written in a text are brackets and letters, never the special
    token.

    Args:
        vocab: tokens of WordPiece in the order of their ids.
        casing: normalization of letters.
        added: tokens that are matched whole; the ids of those that `vocab` lacks follow on its.
        max_word_chars: longer words are [UNK].
    """

    mask_token = MASK
    between: tuple[int, ...] = ()
    """Ids between `[CLS] A [SEP]` and `B [SEP]`: RoBERTa has a second [SEP] there."""
    gap = ""
    """What to write before a word or sentence that does not begin its text, to encode it alone."""
    marks_words = True
    """False for a tokenizer whose tokens do not tell whether they start a word."""

    def __init__(
        self,
        vocab: Sequence[str],
        casing: Casing = CASED,
        added: Iterable[AddedToken] = (),
        max_word_chars: int = MAX_WORD_CHARS,
    ):
        self.casing, self.max_word_chars = casing, max_word_chars
        self.added: tuple[AddedToken, ...] = tuple(added)
        self._ids = {token: index for index, token in enumerate(vocab)}
        self.num_pieces = len(vocab)  # tokens of WordPiece; added ones may follow
        self.vocab = [*vocab, *(t.content for t in self.added if t.content not in self._ids)]
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self._ids[token] for token in SPECIAL_TOKENS
        )

    @classmethod
    def load(cls, folder: str | Path, log: Callable[[str], None] = warn) -> "Tokenizer":
        """Load a folder that `save` or Hugging Face wrote: tokenizer.json or else vocab.txt.

        A tokenizer.json of another kind than BERT's gives a `PipelineTokenizer`.

        Args:
            folder: the folder.
            log: called with each warning.

        Raises:
            ConfigError: files are missing, damaged, or not of an encoder's tokenizer.
        """
        from bert_jax.tokenizer.pipeline import PipelineTokenizer  # which is a `Tokenizer`

        folder = Path(folder)
        described = read_described(folder)
        if described is None or is_berts(described):
            return cls(*read_tokenizer(folder, described, log))
        return PipelineTokenizer.read(folder, described, log)

    def save(self, folder: str | Path, model_max_length: int = 512, segments: bool = True) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json for Hugging Face.

        Tokens that vocab.txt lacks go to added_tokens.json.

        Args:
            folder: folder to write to; created if need be.
            model_max_length: longest input of the model in tokens.
            segments: False for a model whose tokens have no segment.
        """
        folder = Path(folder)
        pieces, new = self.vocab[: self.num_pieces], self.vocab[self.num_pieces :]
        write_text(folder / "vocab.txt", "".join(f"{token}\n" for token in pieces))
        added = {token: index for index, token in enumerate(new, self.num_pieces)}
        if added:
            text = json.dumps(added, indent=2, ensure_ascii=False) + "\n"
            write_text(folder / "added_tokens.json", text)
        else:
            (folder / "added_tokens.json").unlink(missing_ok=True)
        write_text(
            folder / "tokenizer_config.json",
            json.dumps(self._make_config(model_max_length, segments), indent=2) + "\n",
        )
        fast = self._make_pipeline()
        fast.add_special_tokens(list(SPECIAL_TOKENS))
        fast.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", self.cls_id), ("[SEP]", self.sep_id)],
        )
        text = json.dumps(json.loads(fast.to_str()), indent=1, ensure_ascii=False, sort_keys=False)
        write_text(folder / "tokenizer.json", text + "\n")

    def _make_config(self, model_max_length: int, segments: bool) -> dict[str, Any]:
        """Return the contents of tokenizer_config.json."""
        config: dict[str, Any] = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.casing.lowercase,
            "strip_accents": self.casing.strip_accents,
            "tokenize_chinese_chars": True,
            "model_max_length": model_max_length,
            **{f"{token[1:-1].lower()}_token": token for token in SPECIAL_TOKENS},
        }
        special = [token.content for token in self.added if token.special]
        if special:
            config["additional_special_tokens"] = special
        if self.max_word_chars != MAX_WORD_CHARS:  # BertTokenizer of transformers 5 ignores it
            config["tokenizer_class"] = "PreTrainedTokenizerFast"
            config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        if not segments:
            config["model_input_names"] = ["input_ids", "attention_mask"]
        return config

    @property
    def description(self) -> str:
        """Kind and casing, for people."""
        return f"WordPiece, {self.casing.description}"

    @property
    def special_ids(self) -> list[int]:
        """Ids of [PAD], [UNK], [CLS], [SEP] and [MASK]."""
        return [self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id]

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""
        return len(self.vocab)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of vocabulary and rules: tokenizers with equal hashes give equal ids."""
        casing = [self.casing.lowercase, self.casing.strips_accents]
        identity: list[Any] = [self.vocab[: self.num_pieces], casing]
        if self.added or self.max_word_chars != MAX_WORD_CHARS:
            added = [dataclasses.asdict(token) for token in self.added]
            identity += [added, self.max_word_chars]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @functools.cached_property
    def is_continuation(self) -> Bool[np.ndarray, "V"]:
        """True for each token that continues a word ("##ing"), for whole-word masking."""
        return np.array(
            [
                token.startswith("##") and index < self.num_pieces
                for index, token in enumerate(self.vocab)
            ]
        )

    def split(self, text: str) -> list[str]:
        """Return the words of a text, normalized, before any is cut into pieces."""
        valid = self._pipeline.normalizer.normalize_str(text.encode("utf-8", "ignore").decode())
        return [word for word, _ in self._pipeline.pre_tokenizer.pre_tokenize_str(valid)]

    def long_words(self, texts: Iterable[str]) -> list[int]:
        """Return the lengths of the words that are [UNK] because they are too long."""
        # One character can become four when accents are stripped.
        runs = [
            run for text in texts for run in text.split() if len(run) > self.max_word_chars // 4
        ]
        lengths = map(len, self.split(" ".join(runs)))
        return [length for length in lengths if length > self.max_word_chars]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids."""
        return [self.vocab[index] for index in ids]

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return tokens in the notation of WordPiece, "##" where they continue a word."""
        return self.tokens(ids)

    def join(self, first: Sequence[int], second: Sequence[int] | None = None) -> list[int]:
        """Return `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]` with `between` before B."""
        tokens = [self.cls_id, *first, self.sep_id]
        return tokens if second is None else [*tokens, *self.between, *second, self.sep_id]

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
        ids, counts = self._cache.encode(texts)
        found = self._finder.find(texts) if self._finder else []
        if not found:
            return ids, counts
        valid = [texts[index].encode("utf-8", "ignore").decode() for index in found]
        encodings = self._pipeline.encode_batch(valid, add_special_tokens=False)
        ends, parts, start = np.cumsum(counts), [], 0
        for index, encoding in zip(found, encodings, strict=True):
            parts += [ids[start : ends[index] - counts[index]], np.array(encoding.ids, np.int32)]
            start, counts[index] = ends[index], len(encoding.ids)
        return np.concatenate([*parts, ids[start:]]), counts

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

    def encode_masked(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """Return what `encode_with_offsets` does, for a text in which [MASK] is that token."""
        ids, starts, ends, start = [], [], [], 0
        parts = text.split(MASK)
        for number, encoded in enumerate(self.encode_with_offsets(parts)):
            if number:
                encoded[0].insert(0, self.mask_id)
                encoded[1].insert(0, -len(MASK))
                encoded[2].insert(0, 0)
                start += len(MASK)
            ids += encoded[0]
            starts += [start + first for first in encoded[1]]
            ends += [start + end for end in encoded[2]]
            start += len(parts[number])
        return ids, starts, ends

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
        return WordCache(WordPieces(self._pipeline, self._ids, self.unk_id))

    @functools.cached_property
    def _finder(self) -> AddedTokenFinder | None:
        return AddedTokenFinder(self._pipeline, self.added) if self.added else None

    def _make_pipeline(self) -> FastTokenizer:
        """Build the pipeline of `tokenizers`, without BERT's special tokens."""
        model = models.WordPiece(
            self._ids, unk_token="[UNK]", max_input_chars_per_word=self.max_word_chars
        )
        fast = FastTokenizer(model)
        fast.normalizer = self.casing.normalizer()  # pyrefly: ignore
        fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyrefly: ignore
        fast.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # pyrefly: ignore
        fast.add_tokens([token.for_tokenizers() for token in self.added])
        return fast
