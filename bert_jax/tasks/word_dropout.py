"""Word dropout: some tokens of a training text are [MASK], so that no word decides alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from bert_jax.tokenizer.tokenizer import Tokenizer


class WordDropout(NamedTuple):
    """Rate and special tokens."""

    rate: float
    """Share of the tokens that are replaced."""
    mask_id: int
    """Id of [MASK], which replaces them."""
    kept: tuple[int, ...]
    """Ids that are never replaced."""

    @classmethod
    def of(cls, rate: float, tokenizer: Tokenizer) -> "WordDropout | None":
        """Take the special tokens from a tokenizer; return None for a rate of 0."""
        kept = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
        return cls(rate, tokenizer.mask_id, kept) if rate else None


def drop_words(
    key: PRNGKeyArray, tokens: Int[Array, "B T"], rules: WordDropout
) -> Int[Array, "B T"]:
    """Replace each token by [MASK] with probability `rate` (Iyyer et al. 2015, section 3.2).

    The paper leaves tokens out; a masked language model knows [MASK], and positions stay.
    """
    dropped = jax.random.bernoulli(key, rules.rate, tokens.shape)
    kept = jnp.isin(tokens, jnp.array(rules.kept))
    return jnp.where(dropped & ~kept, rules.mask_id, tokens)
