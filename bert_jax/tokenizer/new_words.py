"""New words for the tokenizer of a trained model: every id that it has stays as it is."""

from pathlib import Path

from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_text
from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.tokenizer import AddedToken, Tokenizer
from bert_jax.tokenizer.vocab_file import MAX_BYTES


def add_words(tokenizer: Tokenizer, path: str | Path) -> Tokenizer:
    """Return a tokenizer to which the words of a file are one token each, with ids at the end.

    A word that BERT's tokenizer does not split joins the vocabulary, so longer words may begin with
    it. Others, such as "covid-19", "[USER]" or words of ideographs, are matched whole before the
    text is split. Tokens that were added before are entries of the new vocabulary. To tokenizers of
    other kinds, all words are added to be matched whole.

    Args:
        tokenizer: the tokenizer of the trained model.
        path: the words, one a line; those that are tokens already are left out.

    Raises:
        ConfigError: the file cannot be read, or a word cannot be one token.
    """
    if isinstance(tokenizer, PipelineTokenizer):
        lines = map(str.strip, read_text(path, MAX_BYTES).split("\n"))
        return tokenizer.with_words([word for word in lines if word])
    known = set(tokenizer.vocab)
    words: list[str] = []
    whole: list[AddedToken] = []
    for number, line in enumerate(read_text(path, MAX_BYTES).split("\n"), 1):
        word = line.strip()
        parts = tokenizer.split(word)
        is_known = word in known or (len(parts) == 1 and parts[0] in known)
        if not word or (is_known and not word.startswith("##")):
            continue
        _check(word, parts, f"{path}:{number}", tokenizer.max_word_chars)
        if len(parts) == 1:
            words += parts
        else:
            whole.append(AddedToken(word, single_word=_ends_inside_words(word, tokenizer)))
        known |= {word, *parts} if len(parts) == 1 else {word}
    if not words and not whole:
        return tokenizer
    return Tokenizer(
        [*tokenizer.vocab, *words],
        tokenizer.casing,
        [*tokenizer.added, *whole],
        tokenizer.max_word_chars,
    )


def pieces_of_new_tokens(old: Tokenizer, new: Tokenizer) -> dict[int, list[int]] | None:
    """Return the ids of `new` that `old` lacks, each with the old ids of its text.

    Returns:
        None if an id has another token, or the casing differs. The longest word may differ: it
        changes which ids a text gives, not what they mean.
    """
    size = old.vocab_size
    if isinstance(new, PipelineTokenizer) or isinstance(old, PipelineTokenizer):
        same_rules = isinstance(new, PipelineTokenizer) and new.extends(old)
    else:
        same_rules = _has_rules_of(new, old)
    if not same_rules:
        return None
    return {
        index: old.encode(token) or [old.unk_id]
        for index, token in enumerate(new.vocab[size:], size)
    }


def _has_rules_of(new: Tokenizer, old: Tokenizer) -> bool:
    """Return whether a tokenizer of BERT's kind gives the meaning to ids that an older one does."""
    return (
        new.vocab[: old.vocab_size] == old.vocab
        and new.added[: len(old.added)] == old.added
        and new.casing.lowercase == old.casing.lowercase
        and new.casing.strips_accents == old.casing.strips_accents
    )


def _check(word: str, parts: list[str], place: str, max_chars: int) -> None:
    """Raise a `ConfigError` if a word cannot be one token."""
    if word.startswith("##"):
        raise ConfigError(f"{place}: {word!r} is a piece", "whole words", "remove the line")
    if not parts:
        raise ConfigError(
            f"{place}: {word!r} has no character that the tokenizer keeps",
            "a word that can occur in a text",
            "remove the line",
        )
    if max(map(len, parts)) > max_chars:
        raise ConfigError(
            f"{place}: a word of more than {max_chars} characters: {word[:40]!r}…",
            f"at most {max_chars} characters",
            "remove the line, or raise --max-word-length",
        )


def _ends_inside_words(word: str, tokenizer: Tokenizer) -> bool:
    """Return True unless the word's ends are marks, or ideographs, which are words of their own."""
    edges = {word[0], word[-1]}
    inside = {edge for edge in edges if len(tokenizer.split(f"a{edge}a")) == 1}
    return bool(inside) and not any(edge.isalpha() for edge in edges - inside)
