"""What the sides of task_speed.py run with: versions, shapes, threads."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def about_jax(batches: Sequence[dict[str, np.ndarray]]) -> str:
    """Describe versions, shapes, and the share of tokens that are not padding."""
    import jax

    shapes = {batch["tokens"].shape for batch in batches}
    full = sum(b["lengths"].sum() for b in batches) / sum(b["tokens"].size for b in batches)
    return f"jax {jax.__version__}, {len(shapes)} shapes of batches, {full:.0%} full"


def about_torch(model: Any) -> str:
    """Describe versions, attention and threads."""
    import torch
    import transformers

    attention = model.config._attn_implementation
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    return f"{versions}, {attention} attention, {torch.get_num_threads()} threads"
