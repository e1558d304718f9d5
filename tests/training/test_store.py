"""Names for arrays: what a run is recognised by."""

import jax.numpy as jnp
import numpy as np

from bert_jax.training.store import fingerprint


def test_a_fingerprint_is_of_values_and_stays_what_it_was():
    tree = {"b": np.arange(3, dtype=np.float32), "a": [1, 2.5, "text"]}
    # Runs that were begun with an earlier version are still recognised.
    assert fingerprint(tree) == "a850c54591d70ecc298811b2ee11368e8cfade85684caec1b47093d19cc9e30b"
    assert fingerprint({"a": [1, 2.5, "text"], "b": jnp.arange(3.0)}) == fingerprint(tree)
    assert fingerprint({**tree, "b": np.array([0, 1, 3], np.float32)}) != fingerprint(tree)
