"""Hashes of arrays, which are part of a run's identity."""

import jax.numpy as jnp
import numpy as np

from bert_jax.training.checkpoint_arrays import hash_arrays


def test_a_hash_is_of_values_and_stays_what_it_was():
    tree = {"b": np.arange(3, dtype=np.float32), "a": [1, 2.5, "text"]}
    # Runs of earlier versions must stay resumable.
    assert hash_arrays(tree) == "a850c54591d70ecc298811b2ee11368e8cfade85684caec1b47093d19cc9e30b"
    assert hash_arrays({"a": [1, 2.5, "text"], "b": jnp.arange(3.0)}) == hash_arrays(tree)
    assert hash_arrays({**tree, "b": np.array([0, 1, 3], np.float32)}) != hash_arrays(tree)
