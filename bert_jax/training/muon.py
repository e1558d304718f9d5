"""Muon: orthogonalized momentum for hidden matrices, Adam for all other parameters."""

import math
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from bert_jax.config import OptimizerConfig

MATRICES = {"kernel", "x_kernel", "h_kernel", "w", "u"}
OUTPUT_LAYERS = {"nsp", "classifier", "qa_outputs", "output"}


def muon_or_adam(config: OptimizerConfig) -> optax.GradientTransformation:
    """Scale the updates of hidden matrices by Muon (Jordan et al. 2024), others by Adam.

    A matrix's update is its momentum G = U S Vᵀ (Nesterov's) made nearly orthogonal, U S' Vᵀ with
    S' near 1, by five Newton-Schulz steps in float32, times √max(1, out / in). Every layer has its
    own, and so have queries, keys and values within their fused kernel, and the two factors of a
    gated layer; the four gates of an LSTM share one.

    `optax.contrib.muon` is not used as a whole: it would decay biases and layer norms, and give
    Adam Nesterov's momentum.

    Args:
        config: `b1`, `b2` and `eps` are Adam's, `muon_momentum` is the matrices'.
    """
    muon = optax.chain(
        scale_by_muon(beta=config.muon_momentum, weight_dimension_numbers=matrix_axes),
        optax.stateless(lambda updates, _: scale_by_width(updates)),
    )
    adam = optax.scale_by_adam(config.b1, config.b2, config.eps)
    return optax.partition(
        {"muon": muon, "adam": adam},
        lambda params: jax.tree.map(lambda m: "muon" if m else "adam", hidden_matrices(params)),
    )


def scale_matrices(factor: float) -> optax.GradientTransformation:
    """Scale the updates of hidden matrices: they have a learning rate of their own."""
    return optax.masked(optax.scale(factor), hidden_matrices)


def hidden_matrices(params: Any) -> Any:
    """Return a mask of the arrays that hold matrices of hidden layers.

    Embeddings and output layers are none: with Adam they learn better (Jordan et al. 2024).
    """
    return jax.tree_util.tree_map_with_path(lambda path, x: _axes(path, x) is not None, params)


def matrix_axes(params: Any) -> Any:
    """Return which axes are in and out of the hidden matrices of each array; None for no matrix.

    All other axes, those of layers, of q, k and v and of gated layers, count matrices.
    """
    return jax.tree_util.tree_map_with_path(_axes, params)


def scale_by_width(updates: Any) -> Any:
    """Multiply the update of each matrix by √max(1, out / in)."""

    def scale(update: Array, axes: MuonDimensionNumbers) -> Array:
        fan_in, fan_out = (np.take(update.shape, group).prod() for group in axes)
        return update * math.sqrt(max(1.0, fan_out / fan_in))

    return jax.tree.map(scale, updates, matrix_axes(updates))


def _axes(path: tuple[Any, ...], x: Array) -> MuonDimensionNumbers | None:
    names = [str(getattr(key, "key", key)) for key in path]
    first = 1 if any(name.endswith("layers") for name in names) else 0  # after L
    last = x.ndim - 1
    if names[-1] not in MATRICES or OUTPUT_LAYERS.intersection(names) or first >= last:
        return None
    if "qkv" in names or "kv" in names:  # [D, 3, H, K]; kv has 2
        return MuonDimensionNumbers((first,), (last - 1, last))
    if "gated" in names:  # [D, 2, F]
        return MuonDimensionNumbers((first,), (last,))
    if names[-2:] == ["out", "kernel"]:
        if first == last - 1:  # the NTM's output layer
            return None
        return MuonDimensionNumbers((first, first + 1), (last,))  # [H, K, D]
    return MuonDimensionNumbers((first,), tuple(range(first + 1, last + 1)))
