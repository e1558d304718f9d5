"""Rotary positions by hand, and what they are for: products depend on distances alone."""

import jax.numpy as jnp
import numpy as np

from bert_jax.nn.rotary import rotary_angles, rotate


def test_angles_by_hand():
    angles = rotary_angles(jnp.array([[0, 3]]), 4, 100.0)
    np.testing.assert_allclose(angles, [[[0, 0], [3, 0.3]]], rtol=1e-6)


def test_a_quarter_turn_by_hand():
    x = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 1, 4)
    quarter = jnp.full((1, 1, 2), jnp.pi / 2).at[0, 0, 1].set(0.0)
    # (1, 3) is turned by 90 degrees to (-3, 1); (2, 4) stays.
    np.testing.assert_allclose(rotate(x, quarter).ravel(), [-3, 2, 1, 4], atol=1e-6)


def test_products_depend_on_the_distance_alone():
    q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 1, 8)).astype(np.float32)

    def product(a, b):
        turned = [
            rotate(jnp.asarray(x), rotary_angles(jnp.array([[position]]), 8, 10_000.0))
            for x, position in ((q, a), (k, b))
        ]
        return float((turned[0] * turned[1]).sum())

    assert abs(product(3, 10) - product(103, 110)) < 1e-4
    assert abs(product(3, 10) - product(3, 11)) > 1e-2
    assert abs(product(5, 5) - float((q * k).sum())) < 1e-5
