import jax
import numpy as np

from bert_jax.nn.initializers import truncated_normal


def test_truncated_normal_is_not_corrected_for_its_width():
    x = np.asarray(truncated_normal(0.02)(jax.random.key(0), (400, 500)))
    assert np.abs(x).max() <= 0.04
    assert np.abs(x).max() > 0.0399
    assert abs(x.std() - 0.02 * 0.8796) < 1e-4
    assert abs(x.mean()) < 2e-4
