"""Parameter names: convert between our nested dict, Hugging Face's names, PyTorch's and Flax's.

All formats meet in one flat form: a dict with Hugging Face's dotted names, for example
`bert.encoder.layer.0.attention.self.query.kernel`, and one matrix [in, out] per entry, with
layers unstacked and queries, keys and values separate. Each format is a renaming of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.config import BertConfig
from bert_jax.errors import ConfigError

Flat = dict[str, Any]
QKV = ("query", "key", "value")
PREFIX = "bert."


def to_flat(params: Mapping[str, Any]) -> Flat:
    """Flatten the parameters of any of `ARCHITECTURES`; works under `jax.eval_shape` too."""
    bert = params.get("bert", params)
    flat = {f"{PREFIX}{name}": x for name, x in _encoder_to_flat(bert).items()}
    if "mlm" in params:
        head = params["mlm"]
        flat |= _prefixed("cls.predictions.transform.dense", head["dense"])
        flat |= _prefixed("cls.predictions.transform.LayerNorm", head["norm"])
        flat["cls.predictions.bias"] = head["bias"]
    if "nsp" in params:
        flat |= _prefixed("cls.seq_relationship", params["nsp"]["dense"])
    for name in ("classifier", "qa_outputs"):
        if name in params:
            flat |= _prefixed(name, params[name])
    return flat


def from_flat(
    flat: Mapping[str, np.ndarray], shapes: Any, config: BertConfig, source: str
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
    layers = {name.split(".")[3] for name in flat if name.startswith(f"{PREFIX}encoder.layer.")}
    if len(layers) != config.num_hidden_layers:
        raise ConfigError(
            f"{source}: num_hidden_layers = {config.num_hidden_layers}, but the weights have"
            f" {len(layers)} layers",
            "as many layers in both",
            "use weights and config.json that belong together",
        )
    flat_shapes = jax.eval_shape(to_flat, shapes)
    _check_shapes(flat, flat_shapes, source)
    arrays = {name: _as_float32(flat[name], f"{source}: {name}") for name in flat_shapes}
    inner = {k.removeprefix(PREFIX): x for k, x in arrays.items() if k.startswith(PREFIX)}
    bert = _encoder_from_flat(inner, config)
    if "bert" not in shapes:
        return bert
    params: dict[str, Any] = {"bert": bert}
    if "mlm" in shapes:
        params["mlm"] = {
            "dense": _take(arrays, "cls.predictions.transform.dense"),
            "norm": _take(arrays, "cls.predictions.transform.LayerNorm"),
            "bias": arrays["cls.predictions.bias"],
        }
    if "nsp" in shapes:
        params["nsp"] = {"dense": _take(arrays, "cls.seq_relationship")}
    for name in ("classifier", "qa_outputs"):
        if name in shapes:
            params[name] = _take(arrays, name)
    return params


def _encoder_to_flat(bert: Mapping[str, Any]) -> Flat:
    embeddings, layers = bert["embeddings"], bert["layers"]
    flat: Flat = {
        "embeddings.word_embeddings.embedding": embeddings["word"],
        "embeddings.position_embeddings.embedding": embeddings["position"],
        "embeddings.token_type_embeddings.embedding": embeddings["segment"],
        **_prefixed("embeddings.LayerNorm", embeddings["norm"]),
    }
    qkv, out = layers["attention"]["qkv"], layers["attention"]["out"]
    num_layers, width = qkv["kernel"].shape[:2]
    for i in range(num_layers):
        name = f"encoder.layer.{i}"
        for j, part in enumerate(QKV):
            flat[f"{name}.attention.self.{part}.kernel"] = qkv["kernel"][i, :, j].reshape(width, -1)
            flat[f"{name}.attention.self.{part}.bias"] = qkv["bias"][i, j].reshape(-1)
        flat[f"{name}.attention.output.dense.kernel"] = out["kernel"][i].reshape(-1, width)
        flat[f"{name}.attention.output.dense.bias"] = out["bias"][i]
        for theirs, ours in _shared_parts(layers).items():
            flat |= _prefixed(f"{name}.{theirs}", {k: x[i] for k, x in ours.items()})
    if "pooler" in bert:
        flat |= _prefixed("pooler.dense", bert["pooler"])
    return flat


def _shared_parts(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a layer that are one matrix, or one norm, in both forms."""
    return {
        "attention.output.LayerNorm": layers["attention_norm"],
        "intermediate.dense": layers["feed_forward"]["up"],
        "output.dense": layers["feed_forward"]["down"],
        "output.LayerNorm": layers["feed_forward_norm"],
    }


def _encoder_from_flat(flat: Mapping[str, np.ndarray], config: BertConfig) -> dict[str, Any]:
    width, heads = config.hidden_size, config.num_attention_heads
    split = (heads, width // heads)

    def layer(name: str) -> dict[str, Any]:
        parts = [_take(flat, f"{name}.attention.self.{part}") for part in QKV]
        out = _take(flat, f"{name}.attention.output.dense")
        return {
            "attention": {
                "qkv": {
                    "kernel": np.stack([p["kernel"].reshape(width, *split) for p in parts], 1),
                    "bias": np.stack([p["bias"].reshape(split) for p in parts]),
                },
                "out": {**out, "kernel": out["kernel"].reshape(*split, width)},
            },
            "attention_norm": _take(flat, f"{name}.attention.output.LayerNorm"),
            "feed_forward": {
                "up": _take(flat, f"{name}.intermediate.dense"),
                "down": _take(flat, f"{name}.output.dense"),
            },
            "feed_forward_norm": _take(flat, f"{name}.output.LayerNorm"),
        }

    layers = [layer(f"encoder.layer.{i}") for i in range(config.num_hidden_layers)]
    bert = {
        "embeddings": {
            "word": flat["embeddings.word_embeddings.embedding"],
            "position": flat["embeddings.position_embeddings.embedding"],
            "segment": flat["embeddings.token_type_embeddings.embedding"],
            "norm": _take(flat, "embeddings.LayerNorm"),
        },
        "layers": jax.tree.map(lambda *leaves: np.stack(leaves), *layers),
    }
    if "pooler.dense.kernel" in flat:
        bert["pooler"] = _take(flat, "pooler.dense")
    return bert


def _prefixed(name: str, leaves: Mapping[str, Any]) -> Flat:
    return {f"{name}.{leaf}": x for leaf, x in leaves.items()}


def _take(flat: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Return the leaves of one matrix or one norm: its kernel or scale, and its bias."""
    first = "scale" if f"{name}.scale" in flat else "kernel"
    return {first: flat[f"{name}.{first}"], "bias": flat[f"{name}.bias"]}


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


def from_torch_names(tensors: Mapping[str, np.ndarray]) -> Flat:
    """Convert from a PyTorch state dict, also one of 2019, with "gamma" and "beta"."""
    flat = {}
    for name, x in tensors.items():
        # `torch.nn.DataParallel` puts "module." before every name.
        stem, _, leaf = name.removeprefix("module.").rpartition(".")
        leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)
        if leaf == "weight":
            if stem.endswith("LayerNorm"):
                leaf = "scale"
            elif stem.endswith("_embeddings"):
                leaf = "embedding"
            else:
                leaf, x = "kernel", x.T
        flat[f"{stem}.{leaf}"] = x
    return _add_bert_prefix(flat)


def from_flax_names(arrays: Mapping[str, np.ndarray]) -> Flat:
    """Convert from a Hugging Face Flax checkpoint whose names are joined by "."."""
    return _add_bert_prefix(dict(arrays))


def _add_bert_prefix(flat: Flat) -> Flat:
    """Add the prefix that all models but a bare `BertModel` have."""
    if any(name.startswith(PREFIX) for name in flat):
        return flat
    return {
        f"{PREFIX}{k}" if k.startswith(("embeddings.", "encoder.", "pooler.")) else k: x
        for k, x in flat.items()
    }
