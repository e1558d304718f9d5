"""A model as two functions: parameters from a key, and a module from parameters."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import PRNGKeyArray

from bert_jax.models.bert import BertForPreTraining

Params = dict[str, Any]
"""A nested dict of float32 arrays with string keys, such as `params["bert"]["pooler"]["bias"]`."""


def build(
    config: Any, model: Callable[..., nnx.Module] = BertForPreTraining
) -> tuple[Callable[[PRNGKeyArray], Params], Callable[[Params], Any]]:
    """Splits a model class into `init(key) -> params` and `bind(params) -> module`.

    The module is built without memory, once. `init` works under `jax.jit`, and under
    `jax.eval_shape` when only shapes are wanted; `bind` belongs into the jitted function.

    Args:
        config: the model's shape, such as a `BertConfig` with its vocab_size set.
        model: a module class, called as `model(config, rngs=rngs)`.

    Example:
        >>> init, bind = build(BertConfig(vocab_size=100))
        >>> params = jax.jit(init)(jax.random.key(0))
        >>> mlm_logits, nsp_logits = bind(params)(tokens, layout, positions)
    """
    abstract = nnx.eval_shape(lambda: model(config, rngs=nnx.Rngs(0)))
    graphdef, _ = nnx.split(abstract, nnx.Param)

    def init(key: PRNGKeyArray) -> Params:
        return nnx.to_pure_dict(nnx.state(model(config, rngs=nnx.Rngs(key)), nnx.Param))

    def bind(params: Params) -> Any:
        state = nnx.state(abstract, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graphdef, state)

    return init, bind


def count_parameters(params: Params) -> int:
    """Numbers in a tree of arrays, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def take_over(new: Any, trained: Any) -> Any:
    """New parameters with trained ones wherever these have the same name; the rest stays new."""
    if not isinstance(new, dict):
        return trained
    return {n: take_over(x, trained[n]) if n in trained else x for n, x in new.items()}
