"""Optimizers (BERT's own Adam, AdamW, LAMB, Muon, RMSProp) and learning-rate schedules."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from bert_jax.config import OptimizerConfig
from bert_jax.training.muon import muon_or_adam, scale_matrices


def make_optimizer(
    config: OptimizerConfig, steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Build an optimizer and its learning-rate schedule.

    The schedule counts steps from 0: with a warm-up, the first step has a learning rate of 0
    ("inverse_sqrt" counts from 1, as in the paper). Under Muon it is the rate of Adam's parameters;
    that of the matrices is in a fixed proportion to it.

    Args:
        config: optimizer and hyperparameters.
        steps: steps in the whole run.
    """
    direction: optax.GradientTransformation
    decay = optax.add_decayed_weights(config.weight_decay, mask=decayed)
    if config.name == "original":
        schedule = original_schedule(config.learning_rate, config.warmup_steps, steps)
        direction = optax.chain(scale_by_original_adam(config.b1, config.b2, config.eps), decay)
    else:
        if config.schedule == "constant":
            schedule = warmup_constant_schedule(config.learning_rate, config.warmup_steps)
        elif config.schedule == "inverse_sqrt":
            schedule = inverse_sqrt_schedule(config.learning_rate, config.warmup_steps)
        elif config.schedule == "wsd":
            start = config.decay_start(steps)
            schedule = warmup_stable_decay_schedule(
                config.learning_rate, config.warmup_steps, start, steps
            )
        else:
            schedule = warmup_linear_schedule(config.learning_rate, config.warmup_steps, steps)
        if config.name == "rmsprop":
            # With epsilon inside the root, optax's default, the NTM needs far more steps.
            scale = optax.scale_by_rms(config.b2, config.eps, eps_in_sqrt=False)
            direction = optax.chain(scale, optax.trace(config.b1), decay)
        elif config.name == "muon":
            own_rate = scale_matrices(config.muon_learning_rate / config.learning_rate)
            direction = optax.chain(muon_or_adam(config), decay, own_rate)
        else:
            direction = optax.chain(optax.scale_by_adam(config.b1, config.b2, config.eps), decay)
        if config.name == "lamb":
            direction = optax.chain(direction, scale_by_layer_trust_ratio())
    norm, value = config.clip_norm, config.clip_value
    clip = optax.chain(
        optax.identity() if value is None else optax.clip(value),
        optax.identity() if norm is None else optax.clip_by_global_norm(norm),
    )
    return optax.chain(clip, direction, optax.scale_by_learning_rate(schedule)), schedule


def warmup_warning(config: OptimizerConfig, steps: int) -> str | None:
    """Return a warning if a run ends before its warm-up does, with the highest rate it reaches."""
    if config.warmup_steps < steps:
        return None
    _, schedule = make_optimizer(config, steps)
    highest = float(np.asarray(schedule(steps - 1)))
    return (
        f"warning: the warm-up of {config.warmup_steps:,} steps does not end within the run's "
        f"{steps:,}: the learning rate reaches {highest:.3g} at most, not {config.learning_rate:g}."
        f" Pass a shorter warm-up, such as --optimizer.warmup-steps {steps // 10}, or more steps"
    )


def original_schedule(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Return the schedule of BERT's code (`optimization.py`, `create_optimizer`).

    Linear decay to 0 at `steps`, counted from step 0, replaced by peak · step / warmup_steps while
    step < warmup_steps. So the peak is never reached, and the rate drops when the warm-up ends.
    """

    def rate(step: Any) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        decayed = peak * (1.0 - jnp.minimum(step, steps) / steps)
        warm = peak * step / max(warmup_steps, 1)
        return jnp.where(step < warmup_steps, warm, decayed)

    return rate


def warmup_linear_schedule(peak: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Return a linear schedule from 0 to the peak at `warmup_steps`, then to 0 at `steps`."""
    down = optax.linear_schedule(peak, 0.0, max(steps - warmup_steps, 1))
    if warmup_steps == 0:
        return down
    return optax.join_schedules(
        [optax.linear_schedule(0.0, peak, warmup_steps), down], [warmup_steps]
    )


def warmup_constant_schedule(peak: float, warmup_steps: int) -> optax.Schedule:
    """Return a schedule linear from 0 to the peak at `warmup_steps`, then constant."""
    if warmup_steps == 0:
        return optax.constant_schedule(peak)
    return optax.linear_schedule(0.0, peak, warmup_steps)


def warmup_stable_decay_schedule(
    peak: float, warmup_steps: int, decay_start: int, steps: int
) -> optax.Schedule:
    """Return a schedule from 0 to the peak at `warmup_steps`, then from `decay_start` to 0."""
    stable = warmup_constant_schedule(peak, warmup_steps)
    down = optax.linear_schedule(peak, 0.0, max(steps - decay_start, 1))
    return optax.join_schedules([stable, down], [decay_start])


def decayed(params: Any) -> Any:
    """Return a mask of the parameters with weight decay: all but biases and layer norms.

    It goes by path, as the regular expression in BERT's code: the number of axes does not tell,
    because stacked biases and norms have a leading axis L. Embeddings are decayed.
    """

    def applies(path: tuple[Any, ...], _: Any) -> bool:
        names = [str(getattr(key, "key", key)) for key in path]
        return names[-1] != "bias" and not any("norm" in name for name in names)

    return jax.tree_util.tree_map_with_path(applies, params)


def inverse_sqrt_schedule(peak: float, warmup_steps: int) -> optax.Schedule:
    """Return peak · min(t / w, √(w / t)), t counted from 1 (Vaswani et al. 2017, equation 3).

    The paper's rate, D^-0.5 · min(t^-0.5, t · w^-1.5), has its peak, (D w)^-0.5, at t = w.
    """

    def rate(step: Any) -> Float[Array, ""]:
        t, w = jnp.asarray(step, jnp.float32) + 1.0, float(max(warmup_steps, 1))
        return peak * jnp.minimum(t / w, jnp.sqrt(w / t))

    return rate


class OriginalAdamState(NamedTuple):
    """First and second moments."""

    mu: Any
    nu: Any


def scale_by_original_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Scale by m / (√v + ε), without bias correction (`optimization.py` of BERT's code)."""

    def init(params: Any) -> OriginalAdamState:
        return OriginalAdamState(
            mu=jax.tree.map(jnp.zeros_like, params), nu=jax.tree.map(jnp.zeros_like, params)
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, updates)
        updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu, nu)
        return updates, OriginalAdamState(mu, nu)

    return optax.GradientTransformation(init, update)


def scale_by_layer_trust_ratio() -> optax.GradientTransformation:
    """Scale the update of each matrix by ‖w‖ / ‖u‖ (You et al. 2020, algorithm 2).

    `optax.scale_by_trust_ratio` takes one norm per array, which is wrong for stacked layers. Here
    every layer has its own ratio, and so have queries, keys and values within their fused kernel.
    Biases and layer norms keep a ratio of 1, as in the paper's code.
    """

    def ratio(path: tuple[Any, ...], update: Array, param: Array) -> Array:
        names = [str(getattr(key, "key", key)) for key in path]
        apart = {0} if any(name.endswith("layers") for name in names) else set()
        if {"qkv", "kv", "gated"}.intersection(names):
            apart.add(len(apart) + 1)  # [L, D, 3, H, K]; kv and gated have 2
        axes = tuple(axis for axis in range(param.ndim) if axis not in apart)
        norms = [jnp.sqrt(jnp.square(x).sum(axes, keepdims=True)) for x in (param, update)]
        ok = (norms[0] > 0) & (norms[1] > 0)
        return jnp.where(ok, norms[0] / jnp.where(ok, norms[1], 1.0), 1.0)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        assert params is not None
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, u, p, adapts: (
                u * jnp.broadcast_to(ratio(path, u, p), u.shape) if adapts else u
            ),
            updates,
            params,
            decayed(params),
        )
        return scaled, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
