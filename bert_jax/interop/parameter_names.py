"""Parameter names: convert between our nested dict, Hugging Face's names, PyTorch's and Flax's.

All formats meet in one flat form: a dict with Hugging Face's dotted names, for example
`bert.encoder.layer.0.attention.self.query.kernel`, and one matrix [in, out] per entry, with
layers unstacked. Each format is a renaming of it. The names are in the table of each family.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.config import EncoderConfig
from bert_jax.errors import ConfigError
from bert_jax.interop.families import family_of
from bert_jax.interop.family import Family
from bert_jax.models.architectures import with_encoder

Flat = dict[str, Any]


class Place(NamedTuple):
    """Where one of their arrays is in one of ours."""

    name: str
    """Their name in the flat form."""
    index: tuple[Any, ...]
    """Its place in our array: the layer's number where ours is stacked, then the number in the
    second axis where ours holds several of theirs."""
    shape: tuple[int, ...]
    """Its shape in the flat form."""


def to_flat(params: Mapping[str, Any], config: EncoderConfig) -> Flat:
    """Flatten the parameters of any of `ARCHITECTURES`; works under `jax.eval_shape` too."""
    flat: Flat = {}
    for path, x in jax.tree_util.tree_leaves_with_path(with_encoder(dict(params))):
        for place in _places(path, x.shape, family_of(config)):
            flat[place.name] = x[place.index].reshape(place.shape)
    return flat


def from_flat(
    flat: Mapping[str, np.ndarray], shapes: Any, config: EncoderConfig, source: str
) -> dict[str, Any]:
    """Build parameters from the flat form.

    Args:
        flat: arrays by name; names that the model does not have are ignored.
        shapes: the parameters' shapes, as `jax.eval_shape(init, key)` gives them.
        config: the encoder's configuration.
        source: the file, for messages.

    Raises:
        ConfigError: the number of layers differs, a name is missing, a shape differs, an array is
            not of floating point, or a number is NaN or Inf.
    """
    family = family_of(config)
    _check_layers(flat, config, source)
    flat_shapes = jax.eval_shape(lambda params: to_flat(params, config), shapes)
    _check_shapes(flat, flat_shapes, source)
    arrays = {name: _as_float32(flat[name], f"{source}: {name}") for name in flat_shapes}

    def fill(path: tuple[Any, ...], shape: Any) -> np.ndarray:
        x = np.empty(shape.shape, np.float32)
        for place in _places(path, x.shape, family):
            x[place.index] = arrays[place.name].reshape(x[place.index].shape)
        return x

    params = jax.tree_util.tree_map_with_path(fill, with_encoder(shapes))
    return params if "bert" in shapes else params["bert"]


def _places(path: tuple[Any, ...], shape: tuple[int, ...], family: Family) -> Iterator[Place]:
    """Yield the arrays in the flat form that make up one of ours."""
    part, leaf = jax.tree_util.keystr(path, simple=True, separator="."), ""
    if part not in family.names:
        part, _, leaf = part.rpartition(".")
    names = family.theirs(part)
    ending = f".{leaf}" if leaf else ""
    is_stacked = "{}" in names[0]
    layers: Iterable[tuple[int, ...]] = ((i,) for i in range(shape[0])) if is_stacked else [()]
    inner = shape[1:] if is_stacked else shape
    axis = 1 if leaf == "kernel" else 0  # of several: kernels are [D, 3, …], biases [3, …]
    for layer in layers:
        for j, name in enumerate(names):
            if layer:
                name = name.format(layer[0] + family.first_stacked)
            if len(names) == 1:
                yield Place(name + ending, layer, _flat_shape(part, leaf, inner))
            else:
                one = inner[:axis] + inner[axis + 1 :]
                index = (*layer, *[slice(None)] * axis, j)
                yield Place(name + ending, index, _flat_shape(part, leaf, one))


def _flat_shape(part: str, leaf: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a matrix [in, out], or of a vector: heads have no axis of their own."""
    if leaf == "kernel":
        num_in = len(shape) - 1 if part.endswith(".out") else 1
        return int(np.prod(shape[:num_in])), int(np.prod(shape[num_in:]))
    return shape if not leaf else (int(np.prod(shape)),)


def _check_layers(flat: Mapping[str, np.ndarray], config: EncoderConfig, source: str) -> None:
    field = "num_hidden_groups" if hasattr(config, "num_hidden_groups") else "num_hidden_layers"
    num_layers, names = getattr(config, field), family_of(config).all_names
    stem = next(name for name in names if "{}" in name).partition("{}")[0]
    layers = {name.removeprefix(stem).partition(".")[0] for name in flat if name.startswith(stem)}
    if len(layers) != num_layers:
        raise ConfigError(
            f"{source}: {field} = {num_layers}, but the weights have {len(layers)} layers",
            "as many layers in both",
            "use weights and config.json that belong together",
        )


def _check_shapes(flat: Mapping[str, np.ndarray], shapes: Mapping[str, Any], source: str) -> None:
    missing = [name for name in shapes if name not in flat]
    if missing:
        raise ConfigError(
            f"{source}: {_first_three(missing)} missing",
            f"{len(shapes)} arrays, as config.json describes the model",
            "download the whole model again, or fix architectures in config.json",
        )
    wrong = [
        f"{name} has shape {list(flat[name].shape)}, expected {list(s.shape)}"
        for name, s in shapes.items()
        if flat[name].shape != s.shape
    ]
    if wrong:
        raise ConfigError(
            f"{source}: {_first_three(wrong)}",
            "the shapes that config.json describes",
            "use weights and config.json that belong together",
        )


def _as_float32(x: np.ndarray, name: str) -> np.ndarray:
    """Return the float32 numbers of an array of floating point, all of them finite."""
    if not jnp.issubdtype(x.dtype, jnp.floating):  # integers of a quantized model lack their scale
        raise ConfigError(
            f"{name} has the dtype {x.dtype}",
            "float32, float16 or bfloat16",
            "use the model before its quantization",
        )
    with np.errstate(over="ignore"):  # too large a float64 becomes Inf
        x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise ConfigError(f"{name} has NaN or Inf", "finite numbers", "download the file again")
    return x


def _first_three(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def to_torch_names(flat: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Convert to a PyTorch state dict: kernels are transposed, all but biases are a "weight"."""
    renamed = {}
    for name, x in flat.items():
        stem, leaf = name.rsplit(".", 1)
        x = np.asarray(x, np.float32)
        renamed[f"{stem}.{leaf if leaf == 'bias' else 'weight'}"] = np.ascontiguousarray(
            x.T if leaf == "kernel" else x
        )
    return renamed


def from_torch_names(tensors: Mapping[str, np.ndarray], family: Family) -> Flat:
    """Convert from a PyTorch state dict, also one of 2019, with "gamma" and "beta"."""
    flat = {}
    for name, x in tensors.items():
        # `torch.nn.DataParallel` puts "module." before every name.
        stem, _, leaf = name.removeprefix("module.").rpartition(".")
        leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)
        if leaf == "weight":
            if stem.lower().endswith("norm"):
                leaf = "scale"
            elif stem.endswith("_embeddings"):
                leaf = "embedding"
            else:
                leaf, x = "kernel", x.T
        flat[f"{stem}.{leaf}"] = x
    return _add_prefix(flat, family)


def from_flax_names(arrays: Mapping[str, np.ndarray], family: Family) -> Flat:
    """Convert from a Hugging Face Flax checkpoint whose names are joined by "."."""
    return _add_prefix(dict(arrays), family)


def _add_prefix(flat: Flat, family: Family) -> Flat:
    """Add the prefix that all models but a bare encoder have."""
    prefix = family.prefix
    if any(name.startswith(prefix) for name in flat):
        return flat
    in_encoder = (name.removeprefix(prefix) for name in family.all_names if name.startswith(prefix))
    first = {name.partition(".")[0] for name in in_encoder}  # "embeddings", "encoder", …
    return {f"{prefix}{k}" if k.partition(".")[0] in first else k: x for k, x in flat.items()}
