"""Special tokens by role, and added tokens, of any tokenizer's files, as `transformers` reads them.

A role is what a token is for: "cls" is [CLS] in BERT's files and <s> in RoBERTa's.
"""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_json_object
from bert_jax.tokenizer.tokenizer_json import parse_added_token

# The names that a role has in tokenizer_config.json, and its usual spellings.
ROLES = {
    "cls": (("cls_token", "bos_token"), ("[CLS]", "<s>")),
    "sep": (("sep_token", "eos_token"), ("[SEP]", "</s>")),
    "pad": (("pad_token",), ("[PAD]", "<pad>")),
    "mask": (("mask_token",), ("[MASK]", "<mask>")),
    "unk": (("unk_token",), ("[UNK]", "<unk>")),
}
# In the order in which `transformers` adds them.
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LISTED = ("additional_special_tokens", "extra_special_tokens")


class SpecialTokens:
    """The special and added tokens of a folder with a tokenizer.json.

    Args:
        folder: the folder.
        config: the contents of its tokenizer_config.json.
        described: the contents of its tokenizer.json.
        vocab: the tokens of its model, with their ids.

    Raises:
        ConfigError: a file is damaged, or an added token has not the id that it is said to have.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], described: dict[str, Any], vocab: dict[str, int]
    ):
        path = folder / "special_tokens_map.json"
        sources = [config, read_json_object(path) if path.exists() else {}]
        self.named: dict[str, str] = {}
        self.listed: list[str] = []
        flags: dict[str, dict[str, Any]] = {}
        for source in reversed(sources):  # tokenizer_config.json counts
            for key in NAMED:
                if text := _text(source.get(key)):
                    self.named[key] = text
                    flags[text] = source[key] if isinstance(source[key], dict) else {}
            for key in LISTED:
                values = source.get(key)
                self.listed += map(_text, values if isinstance(values, list) else [])
        self.listed = list(dict.fromkeys(filter(None, self.listed)))
        self.added = self._read_added(folder, config, described)
        self._add_named(folder, vocab, flags)

    def _read_added(
        self, folder: Path, config: dict[str, Any], described: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Return the added tokens of all files by their text; the last file counts."""
        found: list[tuple[Any, Any, Path]] = []
        if not isinstance(described.get("added_tokens") or [], list):
            raise _damaged(folder / "tokenizer.json", "added_tokens is no list")
        for entry in described.get("added_tokens") or []:
            index = entry.get("id") if isinstance(entry, dict) else None
            found.append((entry, index, folder / "tokenizer.json"))
        known = {entry.get("content") for entry, _, _ in found if isinstance(entry, dict)}
        path = folder / "added_tokens.json"
        for content, index in (read_json_object(path) if path.exists() else {}).items():
            if content not in known:
                found.append(({"content": content}, index, path))
        listed = config.get("added_tokens_decoder") or {}
        path = folder / "tokenizer_config.json"
        if not isinstance(listed, dict):
            raise _damaged(path, "added_tokens_decoder is no table")
        for index, entry in listed.items():
            number = int(index) if index.isdecimal() and len(index) < 9 else index
            found.append((entry, number, path))
        added: dict[str, dict[str, Any]] = {}
        for entry, index, path in found:
            number, token = parse_added_token(entry, index, path)
            if added.get(token.content, {"id": number})["id"] != number:
                raise _damaged(path, f"the added token {token.content!r} has two ids")
            added[token.content] = token.entry(number)
            added[token.content]["special"] |= token.content in self._special
        return added

    def _add_named(self, folder: Path, vocab: dict[str, int], flags: dict[str, Any]) -> None:
        """Add the special tokens that are named but not yet among the added ones."""
        free = 1 + max([*vocab.values(), *(entry["id"] for entry in self.added.values())])
        for text in dict.fromkeys(
            [*(self.named[k] for k in NAMED if k in self.named), *self.listed]
        ):
            if text in self.added:
                continue
            index = vocab.get(text, free)
            free += index == free
            entry = {"normalized": False} | flags.get(text, {}) | {"content": text}
            _, token = parse_added_token(entry, index, folder / "tokenizer_config.json")
            self.added[text] = token.entry(index) | {"special": True}

    @property
    def _special(self) -> set[str]:
        return {*self.named.values(), *self.listed}

    def roles(self, fast: FastTokenizer, described: dict[str, Any], path: Path) -> dict[str, str]:
        """Return the token of each role; "unk" is absent where no text gives it.

        [CLS] and [SEP] are those of the post-processor, if it has any.

        Raises:
            ConfigError: a role that every encoder needs has no token.
        """
        roles: dict[str, str] = {}
        model_unk = described["model"].get("unk_token")
        for role, (names, spellings) in ROLES.items():
            texts = [self.named.get(name) for name in names]
            texts += [model_unk] if role == "unk" else []
            known = [text for text in [*texts, *spellings] if isinstance(text, str)]
            if text := next((t for t in known if fast.token_to_id(t) is not None), None):
                roles[role] = text
        if single := _template(fast, False):
            roles |= {"cls": single[0], "sep": single[-1]}
        if missing := [role for role in ROLES if role not in roles and role != "unk"]:
            raise ConfigError(
                f"{path.parent}: no token for {', '.join(missing)}",
                "the tokenizer of an encoder, with a token each for cls, sep, pad and mask",
                f'name them in tokenizer_config.json: "{missing[0]}_token": …',
            )
        return roles


def read_between(fast: FastTokenizer, roles: dict[str, str], path: Path) -> list[str]:
    """Return the tokens between `[CLS] A [SEP]` and `B [SEP]`: none, or RoBERTa's second [SEP].

    Raises:
        ConfigError: the post-processor puts special tokens elsewhere.
    """
    single, pair = _template(fast, False), _template(fast, True)
    cls, sep = roles["cls"], roles["sep"]
    if not single and not pair:
        return []
    encoding = fast.encode("a", "a")
    is_around = encoding.sequence_ids[:1] == [None] == encoding.sequence_ids[-1:]
    is_known = single == [cls, sep] and pair in ([*single, sep], [*single, sep, sep])
    if not is_known or not is_around:
        raise ConfigError(
            f"{path}: the post_processor gives {' '.join(single)}; {' '.join(pair)}"[:300],
            "[CLS] A [SEP] and [CLS] A [SEP] B [SEP], or RoBERTa's [CLS] A [SEP] [SEP] B [SEP]",
            "use the tokenizer of an encoder",
        )
    return pair[3:]


def _template(fast: FastTokenizer, pair: bool) -> list[str]:
    """Return the special tokens that the post-processor adds to a text, or to two."""
    encoding = fast.encode("a", "a") if pair else fast.encode("a")
    ids = zip(encoding.ids, encoding.sequence_ids, strict=True)
    return [str(fast.id_to_token(index)) for index, sequence in ids if sequence is None]


def _text(value: Any) -> str:
    """Return the text of a token in a configuration; empty if it names none."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{path}: {what}"[:300], "the files of one tokenizer", "restore the file")
