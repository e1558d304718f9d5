import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.tokenizer.wordtable import KEY_BYTES, Keys, WordTable

words = st.lists(
    st.binary(min_size=1, max_size=KEY_BYTES).filter(lambda w: w[-1] != 0), unique=True
)


def keys_of(words: list[bytes]) -> Keys:
    sizes = np.array([len(word) for word in words], np.int64)
    return Keys(b"".join(words) + bytes(2 * KEY_BYTES), np.cumsum(sizes) - sizes, sizes)


@given(known=words, others=words)
def test_it_finds_what_was_entered_and_nothing_else(known, others):
    table = WordTable(bits=max(4, (2 * len(known)).bit_length()))  # nearly full: many collisions
    half = len(known) // 2
    table.insert(keys_of(known[:half]), np.arange(half))
    table.insert(keys_of(known[half:]), np.arange(half, len(known)))
    assert table.find(keys_of(known)).tolist() == list(range(len(known)))
    unknown = [word for word in others if word not in known]
    assert (table.find(keys_of(unknown)) == -1).all()


def test_marked_words_are_other_words():
    table = WordTable(bits=4)
    keys = keys_of([b"able", b"able"])
    keys.mark(np.array([False, True]))
    table.insert(keys, np.array([7, 8]))
    assert table.find(keys).tolist() == [7, 8]
    assert table.find(keys_of([b"able"])).tolist() == [7]
