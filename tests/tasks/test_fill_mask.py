import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.tasks.fill_mask import TOKEN, decode_masks, encode_masked, mask_positions
from tests.tasks.tiny import TOKENIZER, ids


def test_a_masked_text_is_encoded_around_its_masks():
    encoded = encode_masked("the [MASK] sat[MASK].", TOKENIZER, 16)
    assert encoded.tokens == ids("[CLS] the [MASK] sat [MASK] . [SEP]")
    assert encoded.first_length == 7


def test_every_mask_has_to_be_there_and_to_fit():
    with pytest.raises(ConfigError, match=r"no \[MASK\] in 'the cat'"):
        encode_masked("the cat", TOKENIZER, 16)
    assert encode_masked("the cat [MASK]", TOKENIZER, 5).tokens[-2] == TOKENIZER.mask_id
    with pytest.raises(ConfigError, match=r"1 of 2 \[MASK\] beyond(.|\n)*at most 2 tokens"):
        encode_masked("[MASK] cat [MASK]", TOKENIZER, 4)


@pytest.mark.parametrize(("num_masks", "size"), [(1, 1), (2, 2), (3, 4), (5, 8)])
def test_masks_come_first_and_sizes_are_powers_of_2(num_masks, size):
    tokens = np.array([[7] * 8, [9, *[7] * 7]])
    tokens[0, 8 - num_masks :] = 9
    positions = mask_positions(tokens, 9)
    assert positions.shape == (2, size)
    assert positions[0, :num_masks].tolist() == list(range(8 - num_masks, 8))
    assert positions[1, 0] == 0


def test_decoding_by_hand():
    cat, dog = ids("cat dog")
    outputs = [
        np.array([[(0.75, cat), (0.25, dog)], [(0.5, dog), (0.125, cat)]], TOKEN),
        np.array([[(0.5, cat)]], TOKEN),
    ]
    cat_first = [{"token": "cat", "probability": 0.75}, {"token": "dog", "probability": 0.25}]
    dog_first = [{"token": "dog", "probability": 0.5}, {"token": "cat", "probability": 0.125}]
    assert decode_masks(outputs, TOKENIZER) == [
        {"masks": [cat_first, dog_first]},
        {"masks": [[{"token": "cat", "probability": 0.5}]]},
    ]
