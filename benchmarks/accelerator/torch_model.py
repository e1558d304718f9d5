"""BERT in PyTorch on packed rows, for the race, with a choice of attention kernels."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batch = dict[str, Any]
Attend = Callable[[Tensor, Tensor, Tensor, Batch], Tensor]
"""`(q, k, v, batch) -> context`, all [N, H, K] with N = B T, within the sequences of a row."""

MLM_EPSILON = 1e-5  # of the loss, as on our side


# --- Attention ------------------------------------------------------------------------------------


def by_rows(x: Tensor, batch: Batch) -> Tensor:
    """Return [N, H, K] as [B, H, T, K]."""
    num_rows, _, _, length = batch["mask"].shape
    return x.view(num_rows, length, *x.shape[1:]).transpose(1, 2)


def by_tokens(x: Tensor) -> Tensor:
    """Return [B, H, T, K] as [N, H, K]."""
    return x.transpose(1, 2).flatten(0, 1)


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
    """Attend by `scaled_dot_product_attention` with a mask."""
    q, k, v = (by_rows(x, batch) for x in (q, k, v))
    return by_tokens(F.scaled_dot_product_attention(q, k, v, attn_mask=batch["mask"]))


def attend_flex(q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
    """Attend by `flex_attention`, which skips blocks without a common sequence."""
    from torch.nn.attention.flex_attention import flex_attention

    q, k, v = (by_rows(x, batch) for x in (q, k, v))
    context: Any = flex_attention(q, k, v, block_mask=batch["blocks"])
    return by_tokens(context)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
    """Attend by PyTorch's own flash attention over sequences of various lengths."""
    from torch.nn.attention.varlen import varlen_attn

    ends, longest = batch["ends"], batch["mask"].shape[-1]
    context: Any = varlen_attn(q, k, v, ends, ends, longest, longest)
    return context


def attend_flash(q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
    """Attend by the package flash-attn."""
    from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

    ends, longest = batch["ends"], batch["mask"].shape[-1]
    return flash_attn_varlen_func(q, k, v, ends, ends, longest, longest)


KERNELS: dict[str, Attend] = {
    "SDPA with a mask": attend_sdpa,
    "varlen_attn": attend_varlen,
    "flash-attn": attend_flash,
    "flex_attention": attend_flex,
}


def rank_kernels(batch: Batch, heads: int, width: int, dtype: torch.dtype) -> dict[str, str]:
    """Return the time, or the obstacle, of each kernel, the fastest first; on CPUs SDPA alone.

    `flex_attention`, which has to be compiled, is the last one, for where no other works.
    """
    device = batch["tokens"].device
    if device.type == "cpu":
        return {"SDPA with a mask": "the only one tried on CPUs"}
    shape = (batch["tokens"].numel(), heads, width // heads)
    times, others = {}, {}
    for name, attend in KERNELS.items():
        if attend is attend_flex:
            others[name] = "not timed"
            continue
        q, k, v = (
            torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3)
        )
        try:
            time_kernel(attend, q, k, v, batch, 3)
            times[name] = time_kernel(attend, q, k, v, batch, 20)
        except Exception as error:  # a kernel that is not there is one we do without
            others[name] = type(error).__name__
    ranked = sorted(times, key=lambda name: times[name])
    return {name: f"{1e3 * times[name]:.2f} ms a layer" for name in ranked} | others


def time_kernel(attend: Attend, q: Tensor, k: Tensor, v: Tensor, batch: Batch, times: int) -> float:
    """Return the seconds of a forward and backward pass."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        context = attend(q, k, v, batch)
        torch.autograd.grad(context, (q, k, v), torch.ones_like(context))
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


# --- Model ----------------------------------------------------------------------------------------


class Linear(nn.Linear):
    """y = W x + b in the dtype of `x`; parameters are float32."""

    def forward(self, input: Tensor) -> Tensor:
        """Map the last axis."""
        return F.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))


class LayerNorm(nn.LayerNorm):
    """Layer normalization with float32 statistics, in the dtype of `x`."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the last axis."""
        return super().forward(input.float()).to(input.dtype)


class Layer(nn.Module):
    """BERT's layer on tokens [N, D]."""

    def __init__(self, config: Mapping[str, Any], attend: Attend):
        super().__init__()
        width, forward, eps = (
            config[name] for name in ("hidden_size", "intermediate_size", "layer_norm_eps")
        )
        self.heads, self.attend = config["num_attention_heads"], attend
        self.qkv, self.out = Linear(width, 3 * width), Linear(width, width)
        self.up, self.down = Linear(width, forward), Linear(forward, width)
        self.attention_norm, self.norm = LayerNorm(width, eps), LayerNorm(width, eps)
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, x: Tensor, batch: Batch, positions: Tensor | None = None) -> Tensor:
        """Apply the layer; behind attention, only at `positions` if there are any."""
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)
        context = self.attend(q, k, v, batch).flatten(1)
        if positions is not None:
            x, context = x[positions], context[positions]
        x = self.attention_norm(x + self.dropout(self.out(context)))
        return self.norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class MaskedLanguageModel(nn.Module):
    """BERT with its masked-language-modelling head, on rows of single segments."""

    def __init__(self, config: Mapping[str, Any], attend: Attend, dtype: torch.dtype):
        super().__init__()
        width, size, eps = (
            config[name] for name in ("hidden_size", "vocab_size", "layer_norm_eps")
        )
        self.dtype = dtype
        self.word = nn.Embedding(size, width)
        self.position = nn.Embedding(config["max_position_embeddings"], width)
        self.segment = nn.Embedding(config["type_vocab_size"], width)
        self.embedding_norm, self.head_norm = LayerNorm(width, eps), LayerNorm(width, eps)
        self.layers = nn.ModuleList(
            Layer(config, attend) for _ in range(config["num_hidden_layers"])
        )
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])
        self.head, self.head_bias = Linear(width, width), nn.Parameter(torch.zeros(size))

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of the predicted tokens."""
        x = self.word(batch["tokens"]) + self.position(batch["places"]) + self.segment.weight[0]
        x = self.dropout(self.embedding_norm(x).to(self.dtype))
        for layer in self.layers[:-1]:
            x = layer(x, batch)
        x = self.layers[-1](x, batch, batch["positions"])
        x = self.head_norm(F.gelu(self.head(x)))
        logits = F.linear(x, self.word.weight.to(x.dtype)).float() + self.head_bias
        losses = F.cross_entropy(logits, batch["labels"], reduction="none")
        return (losses * batch["weights"]).sum() / (batch["weights"].sum() + MLM_EPSILON)


def load_parameters(model: MaskedLanguageModel, arrays: Mapping[str, np.ndarray]) -> None:
    """Load our parameters, by their paths."""

    def load(parameter: Tensor, path: str, layer: int | None = None, shape: Any = None) -> None:
        array = arrays[f"params/{path}"]
        array = array if layer is None else array[layer]
        value = torch.from_numpy(array.reshape(shape).T if shape else array.reshape(-1))
        parameter.data.copy_(value.reshape(parameter.shape))

    def load_linear(linear: nn.Linear, path: str, layer: int | None = None) -> None:
        load(linear.weight, f"{path}/kernel", layer, shape=linear.weight.shape[::-1])
        load(linear.bias, f"{path}/bias", layer)

    def load_norm(norm: nn.LayerNorm, path: str, layer: int | None = None) -> None:
        load(norm.weight, f"{path}/scale", layer)
        load(norm.bias, f"{path}/bias", layer)

    for name in ("word", "position", "segment"):
        load(getattr(model, name).weight, f"bert/embeddings/{name}")
    load_norm(model.embedding_norm, "bert/embeddings/norm")
    load_linear(model.head, "mlm/dense")
    load_norm(model.head_norm, "mlm/norm")
    load(model.head_bias, "mlm/bias")
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, Layer)
        parts = {"qkv": layer.qkv, "out": layer.out}
        for name, linear in parts.items():
            load_linear(linear, f"bert/layers/attention/{name}", number)
        parts = {"up": layer.up, "down": layer.down}
        for name, linear in parts.items():
            load_linear(linear, f"bert/layers/feed_forward/{name}", number)
        load_norm(layer.attention_norm, "bert/layers/attention_norm", number)
        load_norm(layer.norm, "bert/layers/feed_forward_norm", number)
