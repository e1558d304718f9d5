"""PyTorch's side of the race: the same model, rows, masks and optimizer, as fast as it goes.

The model is compiled by `torch.compile`; rows stay packed, in the fastest of PyTorch's kernels that
attend within sequences; the last layer and the head are computed for the predicted tokens only;
AdamW is fused. Batches, with their masks, are on the device before the clock starts, where ours
are read, uploaded and masked in every step. Neither JAX nor bert_jax is imported.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.accelerator.torch_model import (
    KERNELS,
    Batch,
    MaskedLanguageModel,
    load_parameters,
    rank_kernels,
)


def put_batch(arrays: Mapping[str, np.ndarray], device: str) -> Batch:
    """Put a masked batch onto the device, in every form that a kernel asks for."""
    num_rows, length = arrays["tokens"].shape
    sizes = arrays["lengths"].sum(axis=-1)
    sizes = np.concatenate([sizes, length - sizes.sum(axis=1, keepdims=True)], axis=1)
    ids = np.stack([np.repeat(np.arange(len(row)), row) for row in sizes])
    starts = np.cumsum(sizes, axis=1) - sizes
    places = np.arange(length) - np.take_along_axis(starts, ids, axis=1)
    places[ids == sizes.shape[1] - 1] = 0  # padding
    positions = arrays["positions"] + length * np.arange(num_rows)[:, None]
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    batch = {
        "tokens": arrays["tokens"].reshape(-1).astype(np.int64),
        "places": places.reshape(-1).astype(np.int64),
        "positions": positions.reshape(-1).astype(np.int64),
        "labels": arrays["labels"].reshape(-1).astype(np.int64),
        "weights": arrays["weights"].reshape(-1),
        "mask": (ids[:, :, None] == ids[:, None, :])[:, None],
        "ends": ends,
    }
    on_device: Batch = {name: torch.from_numpy(x).to(device) for name, x in batch.items()}
    if device != "cpu":
        on_device["blocks"] = block_mask(torch.from_numpy(ids).to(device))
    return on_device


def block_mask(ids: Tensor) -> Any:
    """Return the mask of `flex_attention` for sequence numbers [B, T]."""
    from torch.nn.attention.flex_attention import create_block_mask

    num_rows, length = ids.shape

    def same(row: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return ids[row, q] == ids[row, k]

    return create_block_mask(same, num_rows, None, length, length, device=ids.device)


def make_optimizer(model: nn.Module, config: Mapping[str, Any], steps: int) -> tuple[Any, Any]:
    """Build fused AdamW, without decay of biases and norms, and its linear schedule."""
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": decay} for decay in (0.0, config["weight_decay"])
    ]
    for name, parameter in model.named_parameters():
        groups["bias" not in name and "norm" not in name]["params"].append(parameter)
    optimizer = torch.optim.AdamW(
        groups,
        lr=config["learning_rate"],
        betas=(config["b1"], config["b2"]),
        eps=config["eps"],
        fused=True,
    )
    warmup = config["warmup_steps"]

    def scale(step: int) -> float:
        return step / warmup if step < warmup else (steps - step) / (steps - warmup)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, scale)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Return parameters by path, and batches, from the file that our side wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    batches: dict[str, dict[str, np.ndarray]] = {}
    for name, values in arrays.items():
        first, _, rest = name.partition("/")
        if first != "params":
            batches.setdefault(first, {})[rest] = values
    return arrays, list(batches.values())


def compile_model(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], batch: Batch
) -> tuple[MaskedLanguageModel, Callable[[Batch], Tensor], dict[str, str]]:
    """Build the model with the fastest kernel that works in it.

    Returns:
        The model, its compiled form (on CPUs as it is), and the kernels' times with the
        chosen one first.
    """
    device, dtype = batch["tokens"].device, getattr(torch, config["dtype"])
    shape = config["model"]
    kernels = rank_kernels(batch, shape["num_attention_heads"], shape["hidden_size"], dtype)
    failed: dict[str, str] = {}
    for name in kernels:
        model = MaskedLanguageModel(shape, KERNELS[name], dtype)
        load_parameters(model, arrays)
        model.to(device).train()
        compiled: Any = torch.compile(
            model, fullgraph=True, dynamic=False, disable=device.type == "cpu"
        )
        try:
            compiled(batch).backward()
        except Exception as error:  # the next kernel may do better
            failed[name] = f"{type(error).__name__} in the model"
            continue
        model.zero_grad(set_to_none=True)
        tried = {other: speed for other, speed in kernels.items() if other not in failed}
        return model, compiled, tried | failed
    raise SystemExit(f"no kernel of attention works: {failed}")


def make_theirs(
    config: Mapping[str, Any], rows_file: Path
) -> tuple[dict[str, Any], Callable[[int], float]]:
    """Build PyTorch's side of the race.

    Args:
        config: the run's configuration as a dict.
        rows_file: file that our side wrote.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    arrays, batches = read_arrays(rows_file)
    on_device = [put_batch(batch, device) for batch in batches]
    start = time.perf_counter()
    model, compiled, kernels = compile_model(config, arrays, on_device[0])
    settings = config["optimizer"]
    optimizer, schedule = make_optimizer(model, settings, config["loop"]["steps"])
    endless: Iterator[Batch] = itertools.cycle(on_device)
    chosen, *others = (f"{name} ({speed})" for name, speed in kernels.items())
    about: dict[str, Any] = {
        "about": f"torch {torch.__version__}, {chosen}",
        "other_kernels": ", ".join(others),
        "compile_seconds": time.perf_counter() - start,
    }

    def run_steps(num_steps: int) -> float:
        loss = torch.zeros(())
        for batch in itertools.islice(endless, num_steps):
            loss = compiled(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"], foreach=True)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        result = loss.item()
        about.setdefault("first_loss", result)
        about["peak_bytes"] = torch.cuda.max_memory_allocated() if device == "cuda" else None
        return result

    return about, run_steps


if __name__ == "__main__":
    from race import run_worker

    config_file = Path(sys.argv[1])
    run_worker(
        lambda config: make_theirs(config, config_file.with_suffix(".npz")),
        json.loads(config_file.read_text(encoding="utf-8")),
    )
