"""ModernBERT in Hugging Face's files, as transformers 4.48 and 5 write them."""

from typing import Any

from bert_jax.config import ModernBertConfig
from bert_jax.interop.family import Family, Unsupported

# Parts of a layer: ours → theirs.
PARTS = {
    "attention.qkv": "attn.Wqkv",
    "attention.out": "attn.Wo",
    "attention_norm": "attn_norm",
    "feed_forward.gated": "mlp.Wi",
    "feed_forward.down": "mlp.Wo",
    "feed_forward_norm": "mlp_norm",
}
FULL, SLIDING = "full_attention", "sliding_attention"
THETAS = {FULL: "global_rope_theta", SLIDING: "local_rope_theta"}


def read_fields(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the names of version 4.48, which those of version 5 replace.

    Raises:
        Unsupported: layers with and without a window do not alternate regularly, positions are
            not plain rotary ones, or fields contradict one another.
    """
    fields = dict(raw)
    if fields.get("local_rope_theta", 0) is None:  # as layers without a window
        fields["local_rope_theta"] = fields.get("global_rope_theta")
    for name, theta in _read_thetas(raw.get("rope_parameters")).items():
        if raw.get(name, theta) != theta:
            raise Unsupported(name, f"{theta}, as rope_parameters has it")
        fields[name] = theta
    types, period = raw.get("layer_types"), raw.get("global_attn_every_n_layers")
    if types is not None:
        found = _read_period(types)
        if period is None:
            fields["global_attn_every_n_layers"] = found
        elif types != _layer_types(period, len(types)):
            raise Unsupported("global_attn_every_n_layers", "what layer_types has")
        if len(types) != raw.get("num_hidden_layers"):
            raise Unsupported("layer_types", "a type for each of num_hidden_layers")
    return fields


def _read_thetas(parameters: Any) -> dict[str, float]:
    """Return the bases of rotary positions from `rope_parameters`, as far as it has them."""
    thetas = {}
    if not isinstance(parameters, dict | None):
        raise Unsupported("rope_parameters", "parameters by type of layer")
    for kind, values in (parameters or {}).items():
        known = isinstance(values, dict) and values.keys() <= {"rope_type", "rope_theta"}
        if kind not in THETAS or not known or values.get("rope_type", "default") != "default":
            raise Unsupported("rope_parameters", f"a rope_theta for {FULL} and {SLIDING}")
        if "rope_theta" in values:
            thetas[THETAS[kind]] = values["rope_theta"]
    return thetas


def _read_period(types: Any) -> int:
    """Return n from the types of all layers: layers 0, n, 2n, … attend to the whole sequence."""
    expected = f"a list in which every n-th, from the first, is {FULL}, the others {SLIDING}"
    if not isinstance(types, list) or not types:
        raise Unsupported("layer_types", expected)
    period = next((i for i in range(1, len(types)) if types[i] == FULL), len(types))
    if types != _layer_types(period, len(types)):
        raise Unsupported("layer_types", expected)
    return period


def _layer_types(period: Any, num_layers: int) -> list[str] | None:
    if isinstance(period, bool) or not isinstance(period, int) or period < 1:
        return None
    return [FULL if i % period == 0 else SLIDING for i in range(num_layers)]


def write_fields(config: ModernBertConfig) -> dict[str, Any]:
    """Return the fields of version 5; those of version 4.48 are the configuration's own."""
    period, num_layers = config.global_attn_every_n_layers, config.num_hidden_layers
    return {
        "layer_types": _layer_types(period, num_layers),
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": getattr(config, name)}
            for kind, name in THETAS.items()
        },
        "initializer_cutoff_factor": 2.0,
    }


MODERNBERT = Family(
    config=ModernBertConfig,
    prefix="model.",
    names={
        "bert.embeddings.word": "model.embeddings.tok_embeddings.embedding",
        "bert.embeddings.norm": "model.embeddings.norm",
        **{
            f"bert.first_layer.{ours}": f"model.layers.0.{theirs}" for ours, theirs in PARTS.items()
        },
        **{f"bert.layers.{ours}": f"model.layers.{{}}.{theirs}" for ours, theirs in PARTS.items()},
        "bert.final_norm": "model.final_norm",
        "mlm.dense": "head.dense",
        "mlm.norm": "head.norm",
        "mlm.bias": "decoder.bias",
        "head.dense": "head.dense",
        "head.norm": "head.norm",
        "classifier": "classifier",
    },
    decoder="decoder",
    required={"tie_word_embeddings": True, "rope_scaling": None, "head_dim": None},
    first_stacked=1,
    activations=("hidden_activation", "classifier_activation"),
    token_ids={
        "pad_token_id": "pad",
        "bos_token_id": "cls",
        "eos_token_id": "sep",
        "cls_token_id": "cls",
        "sep_token_id": "sep",
    },
    read=read_fields,
    write=write_fields,
)
