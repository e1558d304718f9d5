"""Tokenizers of any other kind: BPE, byte-level BPE, Unigram, WordPiece with other rules.

All of them are a tokenizer.json, which `tokenizers` runs; nothing in such a file is trusted.
"""

import copy
import functools
import hashlib
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError, warn
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.tokenizer.described import (
    follow_config,
    model_vocab,
    open_pipeline,
    without_pieces,
)
from bert_jax.tokenizer.rules import MASK, AddedToken, Casing
from bert_jax.tokenizer.special_tokens import ROLES, SpecialTokens, read_between
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.tokenizer.vocab_file import name_every_id
from bert_jax.tokenizer.word_starts import Marks

_KINDS = {"BPE": "BPE", "Unigram": "Unigram", "WordPiece": "WordPiece", "WordLevel": "whole words"}
_NO_SURROGATES = "ignore"  # half a character is left out of a text, as by BERT's tokenizer


class PipelineTokenizer(Tokenizer):
    """Text to ids and back by a tokenizer.json.

    `encode` equals that of `transformers` without special tokens, with one deliberate difference:
    a special token's name written in a text is text, never the special token.

    Args:
        described: the contents of tokenizer.json, with all added tokens.
        roles: the token of "cls", "sep", "pad", "mask" and, if there is one, "unk".
        path: the file, for messages.
        names: further names of special tokens for tokenizer_config.json.
        log: called with each warning.

    Raises:
        ConfigError: `tokenizers` cannot use it, or it is not of an encoder.
    """

    max_word_chars = sys.maxsize

    def __init__(
        self,
        described: dict[str, Any],
        roles: dict[str, str],
        path: Path,
        names: dict[str, Any] | None = None,
        log: Callable[[str], None] = warn,
    ):
        self._described, self._roles = described, roles
        self._names, self._path = names or {}, path
        fast = open_pipeline(described, path)
        ids = fast.get_vocab(with_added_tokens=True)
        tokens = [""] * (1 + max(ids.values()))
        for token, index in ids.items():
            tokens[index] = token
        self.vocab = name_every_id(tokens, path, log)
        self._ids = ids
        self.num_pieces = len(self.vocab)
        self.added, self.casing = (), _find_casing(fast)
        self.cls_id, self.sep_id, self.pad_id, self.mask_id = (
            ids[roles[role]] for role in ("cls", "sep", "pad", "mask")
        )
        self.unk_id = ids[roles["unk"]] if "unk" in roles else self.pad_id  # which no text gives
        self.mask_token = roles["mask"]
        self.between = tuple(ids[token] for token in read_between(fast, roles, path))
        self._marks = Marks(described)
        self.marks_words = self._marks.exist
        one, two = (fast.encode(text, add_special_tokens=False).ids for text in ("a", "a a"))
        self.gap = "" if two == [*one, *one] else " "

    @classmethod
    def read(
        cls, folder: Path, described: dict[str, Any], log: Callable[[str], None] = warn
    ) -> "PipelineTokenizer":
        """Read a folder whose tokenizer.json is `described`; other files name special tokens."""
        path, config_path = folder / "tokenizer.json", folder / "tokenizer_config.json"
        config = read_json_object(config_path) if config_path.exists() else {}
        vocab = model_vocab(described, path)
        special = SpecialTokens(folder, config, described, vocab)
        described["added_tokens"] = sorted(special.added.values(), key=lambda entry: entry["id"])
        described |= {"truncation": None, "padding": None}
        follow_config(described, config)
        fast = open_pipeline(described, path)
        for content, entry in special.added.items():
            if fast.token_to_id(content) != entry["id"]:
                raise ConfigError(
                    f"{path}: the added token {content!r} has id {fast.token_to_id(content)}, "
                    f"not {entry['id']}",
                    "ids that follow on those of the model",
                    "restore the file",
                )
        names: dict[str, Any] = {
            key: special.named[key] for key in ("bos_token", "eos_token") if key in special.named
        }
        if special.listed:
            names["additional_special_tokens"] = special.listed
        return cls(described, special.roles(fast, described, path), path, names, log)

    def save(self, folder: str | Path, model_max_length: int = 512, segments: bool = True) -> None:
        """Write tokenizer.json and tokenizer_config.json for Hugging Face; see `Tokenizer.save`."""
        folder = Path(folder)
        inputs = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model_max_length,
            "model_input_names": inputs,
            "clean_up_tokenization_spaces": False,
            **{f"{role}_token": self._roles[role] for role in ROLES if role in self._roles},
            **self._names,
        }
        for name in ("vocab.txt", "added_tokens.json", "special_tokens_map.json"):
            (folder / name).unlink(missing_ok=True)
        text = json.dumps(self._described, indent=1, ensure_ascii=False) + "\n"
        write_text(folder / "tokenizer.json", text)
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        write_text(folder / "tokenizer_config.json", text)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the pipeline and the roles: tokenizers with equal hashes give equal ids."""
        identity = [self._described, self._roles, self.between]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def description(self) -> str:
        """Kind and casing, for people."""
        kind = _KINDS.get(self._described["model"].get("type"), "subwords")
        level = "byte-level " if self._marks.is_byte_level else ""
        return f"{level}{kind}, {self.casing.description}"

    @functools.cached_property
    def is_continuation(self) -> Bool[np.ndarray, "V"]:
        """True for each token that continues a word, for whole-word masking."""
        return self._marks.continuations(self.vocab, self._whole)

    @functools.cached_property
    def _whole(self) -> set[str]:
        """The tokens that are matched whole."""
        return {entry["content"] for entry in self._described["added_tokens"]}

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return tokens in the notation of WordPiece, "##" where they continue a word."""
        shown = []
        for index in ids:
            token = self.vocab[index]
            text, continues = (token, False) if token in self._whole else self._marks.read(token)
            shown.append(f"##{text}" if continues else text)
        return shown

    def split(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split()

    def long_words(self, texts: Iterable[str]) -> list[int]:
        """Return no lengths: no word is too long."""
        return []

    def encode_flat(
        self, texts: Sequence[str]
    ) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "texts"]]:
        """Return the ids of all texts in one array, and the number of ids of each text."""
        valid = [text.encode("utf-8", _NO_SURROGATES).decode() for text in texts]
        encodings = self._pipeline.encode_batch_fast(valid, add_special_tokens=False)
        all_ids = [encoding.ids for encoding in encodings]
        counts = np.fromiter(map(len, all_ids), np.int64, len(all_ids))
        flat = (index for ids in all_ids for index in ids)
        return np.fromiter(flat, np.int32, int(counts.sum())), counts

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[list[int], list[int], list[int]]]:
        """Return, for each text, its ids, and the first and last + 1 character of each id."""
        return _encode_with_offsets(self._pipeline, texts)

    def encode_masked(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """Return ids and characters of a text, in which [MASK], or its own name, is the mask."""
        ((ids, starts, ends),) = _encode_with_offsets(self._masked_pipeline, [text])
        alias = self._masked_pipeline.token_to_id(MASK)
        return [self.mask_id if index == alias else index for index in ids], starts, ends

    def decode(self, ids: Iterable[int]) -> str:
        """Return readable text, without [PAD], [CLS] and [SEP]."""
        left_out = {self.pad_id, self.cls_id, self.sep_id}
        kept = [index for index in ids if index not in left_out]
        return self._pipeline.decode(kept, skip_special_tokens=False).strip()

    def with_words(self, words: Iterable[str]) -> "PipelineTokenizer":
        """Return a tokenizer that matches more words whole, with ids at the end.

        Raises:
            ConfigError: the vocabulary has gaps, which `tokenizers` would fill.
        """
        words = list(dict.fromkeys(words))
        encoded = zip(words, self.encode_batch(words), strict=True)
        one = (word for word, ids in encoded if len(ids) == 1 and ids != [self.unk_id])
        known = {*self.vocab, *one}
        new = [word for word in words if word not in known]
        entries = [
            AddedToken(word, single_word=word.isalnum()).entry(index)
            for index, word in enumerate(new, self.vocab_size)
        ]
        added = [*self._described["added_tokens"], *entries]
        described = self._described | {"added_tokens": added}
        extended = PipelineTokenizer(described, self._roles, self._path, self._names)
        if extended.vocab[self.vocab_size :] != new:
            raise ConfigError(
                f"{self._path}: new words take ids inside the vocabulary, which has gaps",
                "a token for every id",
                "give each id without a token one in model.vocab, such as [unused0]",
            )
        return extended

    def extends(self, old: Tokenizer) -> bool:
        """Return whether this is `old`, or `old` with more words that are matched whole."""
        if not isinstance(old, PipelineTokenizer):
            return False
        mine, other = (dict(tokenizer._described) for tokenizer in (self, old))
        added = other.pop("added_tokens")
        same = mine.pop("added_tokens")[: len(added)] == added and mine == other
        return same and (self._roles, self.between) == (old._roles, old.between)

    def _make_pipeline(self) -> FastTokenizer:
        """Build the pipeline for texts, in which the names of the roles' tokens are text."""
        return self._make_without(set(self._roles.values()))

    @functools.cached_property
    def _masked_pipeline(self) -> FastTokenizer:
        """The pipeline for texts in which [MASK] is the mask."""
        return self._make_without(set(self._roles.values()) - {self.mask_token}, mask=True)

    def _make_without(self, hidden: set[str], mask: bool = False) -> FastTokenizer:
        """Build a pipeline that never finds the `hidden` tokens in a text."""
        described = dict(self._described)
        entries = copy.deepcopy(described["added_tokens"])
        for entry in entries:
            entry["special"] = entry["content"] in hidden
        if mask and MASK not in self._ids:
            own = next(entry for entry in entries if entry["content"] == self.mask_token)
            entries.append(own | {"id": len(self.vocab), "content": MASK})
        described["model"] = without_pieces(described["model"], hidden)
        entries.sort(key=lambda entry: entry["special"])  # the ids of those are out of use
        described["added_tokens"] = entries
        fast = open_pipeline(described, self._path)
        fast.encode_special_tokens = True  # those marked as special are text
        return fast


def _find_casing(fast: FastTokenizer) -> Casing:
    """Return what the normalizer does to letters and accents, by trying."""
    if fast.normalizer is None:
        return Casing()
    normal = unicodedata.normalize("NFD", fast.normalizer.normalize_str("AÉ"))
    return Casing("a" in normal.lower() and normal == normal.lower(), "\u0301" not in normal)


def _encode_with_offsets(
    fast: FastTokenizer, texts: Sequence[str]
) -> list[tuple[list[int], list[int], list[int]]]:
    """Return ids and characters of texts; the space before a word does not belong to its token."""
    valid = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates: "?"
    encoded = []
    for text, encoding in zip(
        valid, fast.encode_batch(valid, add_special_tokens=False), strict=True
    ):
        starts, ends = [], []
        for start, end in encoding.offsets:
            while start < end and text[start].isspace():
                start += 1
            starts.append(start)
            ends.append(end)
        encoded.append((encoding.ids, starts, ends))
    return encoded
