"""Models as pairs of pure functions: `init` creates parameters, `merge` makes a module of them."""

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
    """Split a model class into `init(key) -> params` and `merge(params) -> module`.

    The module is built abstractly, without allocating arrays. Call `init` under `jax.jit`, or under
    `jax.eval_shape` for shapes only; call `merge` inside the jitted function.

    Args:
        config: the model's configuration, such as a `BertConfig` with its vocab_size set.
        model: a module class, called as `model(config, rngs=rngs)`.

    Example:
        >>> init, merge = build(BertConfig(vocab_size=100))
        >>> params = jax.jit(init)(jax.random.key(0))
        >>> mlm_logits, nsp_logits = merge(params)(tokens, layout, positions)
    """
    abstract = nnx.eval_shape(lambda: model(config, rngs=nnx.Rngs(0)))
    graphdef, _ = nnx.split(abstract, nnx.Param)

    def init(key: PRNGKeyArray) -> Params:
        return nnx.to_pure_dict(nnx.state(model(config, rngs=nnx.Rngs(key)), nnx.Param))

    def merge(params: Params) -> Any:
        state = nnx.state(abstract, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graphdef, state)

    return init, merge


def count_parameters(params: Params) -> int:
    """Return the total size of a tree of arrays or of `jax.ShapeDtypeStruct`s."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def missing_parts(new: Params, pretrained: Params, prefix: str = "") -> list[str]:
    """Return the names, such as "bert.pooler", of the parts of `new` that `pretrained` lacks."""
    missing = []
    for name, part in new.items():
        if name not in pretrained:
            missing.append(prefix + name)
        elif isinstance(part, dict):
            missing += missing_parts(part, pretrained[name], f"{prefix}{name}.")
    return missing


def merge_pretrained(new: Any, pretrained: Any) -> Any:
    """Replace parameters by pretrained ones of the same name; the others stay as they are."""
    if not isinstance(new, dict):
        return pretrained
    return {n: merge_pretrained(x, pretrained[n]) if n in pretrained else x for n, x in new.items()}
