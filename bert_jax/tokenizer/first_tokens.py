"""A smaller vocabulary for a trained model: its first tokens, each with the id that it has."""

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.rules import SPECIAL_TOKENS
from bert_jax.tokenizer.tokenizer import Tokenizer


def keep_first_tokens(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """Return a tokenizer of the first `size` tokens, which cuts words into shorter pieces.

    A trained vocabulary is in the order of its merges, so its first tokens are about those that
    `train_vocab` finds with this size. Texts made of tokens that stay keep their ids, and no text
    gets a new [UNK].

    Args:
        tokenizer: the tokenizer of the trained model.
        size: number of tokens to keep.

    Raises:
        ConfigError: there are fewer tokens; or one that is needed would be lost, because it is
            special or added, or the only one of a character.
    """
    if isinstance(tokenizer, PipelineTokenizer):
        raise ConfigError(
            f"vocab_size = {size:,} for a tokenizer of {tokenizer.description}",
            "BERT's WordPiece, whose words fall into shorter pieces",
            "leave out --vocab-size",
        )
    vocab = tokenizer.vocab
    known = set(vocab)
    whole = {*SPECIAL_TOKENS, *(token.content for token in tokenizer.added)}

    def is_needed(token: str) -> bool:
        characters = _characters(token)
        return token in whole or characters == {token} or not characters <= known

    needed = [index for index, token in enumerate(vocab) if is_needed(token)]
    smallest, lost = needed[-1] + 1, [vocab[index] for index in needed if index >= size]
    if size > len(vocab) or lost:
        wrong = f"has {len(vocab):,} tokens"
        if lost:
            wrong = (
                f"would lose {len(lost):,} characters, special or added tokens: "
                f"{' '.join(lost[:5])}{' …' if len(lost) > 5 else ''}"
            )
        raise ConfigError(
            f"vocab_size = {size:,}: the vocabulary {wrong}",
            f"{smallest:,} to {len(vocab):,}",
            "choose another --vocab-size",
        )
    pieces = vocab[: min(size, tokenizer.num_pieces)]
    return Tokenizer(pieces, tokenizer.casing, tokenizer.added, tokenizer.max_word_chars)


def _characters(token: str) -> set[str]:
    """Return the tokens of a token's characters: "##l" and "##e" of "##le"."""
    is_inside, text = token.startswith("##"), token.removeprefix("##")
    return {c if i == 0 and not is_inside else f"##{c}" for i, c in enumerate(text)}
