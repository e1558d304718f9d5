"""Write bert_tiny.npz: golden numbers of this code, computed while it equalled Google's.

    python -m pytest tests/test_fidelity.py -m shared && python tests/golden/make_bert_tiny.py

Run it only while the first command passes and compares something. The file holds a small random
model, five batches of packed rows, the outputs on the first, the losses of five updates with BERT's
own optimizer, and the weights at the end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax.config import BertConfig, OptimizerConfig
from bert_jax.models.functional import build
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.losses import MLM_EPSILON, masked_language_model_sums, next_sentence_sums
from bert_jax.training.optimizers import make_optimizer

PATH = Path(__file__).parent / "bert_tiny.npz"
NUM_STEPS, T, V = 5, 24, 60
CONFIG = BertConfig(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=48,
    max_position_embeddings=20,
    vocab_size=V,
    hidden_act="gelu_tanh",
    initializer_range=0.2,
)
OPTIMIZER = OptimizerConfig(name="original", learning_rate=1e-2, warmup_steps=2)


def flatten(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a nested dict by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in leaves}


def unflatten(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    """Return the nested dict below a prefix."""
    tree: dict[str, Any] = {}
    for path, leaf in arrays.items():
        if path.startswith(f"{prefix}/"):
            *parents, name = path.split("/")[1:]
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = leaf
    return tree


def outputs(params: Any, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return all outputs of the model on one batch."""
    model = build(CONFIG)[1](params)
    layout = row_layout(jnp.asarray(batch["lengths"]), T)
    mlm_logits, nsp_logits = model(batch["tokens"], layout, batch["positions"])
    hidden = model.bert(batch["tokens"], layout)
    return {"hidden": hidden, "mlm_logits": mlm_logits, "nsp_logits": nsp_logits}


def train(
    params: Any, batches: list[dict[str, np.ndarray]], optimizer: optax.GradientTransformation
) -> Iterator[tuple[jax.Array, Any]]:
    """Yield the losses (total, MLM, NSP) before each update, and the weights after it."""

    def losses(params: Any, batch: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        logits, labels = outputs(params, batch), batch["labels"]
        mlm = masked_language_model_sums(logits["mlm_logits"], labels, batch["weights"])
        nsp = next_sentence_sums(logits["nsp_logits"], batch["nsp"], batch["lengths"].sum(-1))
        mlm_loss, nsp_loss = mlm[0] / (mlm[1] + MLM_EPSILON), nsp[0] / nsp[1]
        return mlm_loss + nsp_loss, jnp.stack([mlm_loss + nsp_loss, mlm_loss, nsp_loss])

    @jax.jit
    def step(params: Any, state: Any, batch: dict[str, Any]):
        grads, values = jax.grad(losses, has_aux=True)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, values

    state = optimizer.init(params)
    for batch in batches:
        params, state, values = step(params, state, batch)
        yield values, params


def make_batches(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw three rows per step: two pairs, one pair and padding, one long pair."""
    lengths = np.array([[[5, 4], [7, 6]], [[6, 3], [0, 0]], [[11, 9], [0, 0]]], np.int32)
    positions = np.array([[1, 6, 10, 17], [2, 7, 0, 0], [3, 8, 12, 0]], np.int32)
    shape = (NUM_STEPS, 3)
    return {
        "tokens": rng.integers(1, V, (*shape, T)).astype(np.int32),
        "lengths": np.broadcast_to(lengths, (*shape, 2, 2)).copy(),
        "positions": np.broadcast_to(positions, (*shape, 4)).copy(),
        "labels": rng.integers(0, V, (*shape, 4)).astype(np.int32),
        "weights": np.broadcast_to((positions > 0).astype(np.float32), (*shape, 4)).copy(),
        "nsp": rng.integers(0, 2, (*shape, 2)).astype(np.int32),
    }


def main() -> None:
    """Compute and write the file."""
    batches = make_batches(np.random.default_rng(0))
    start = jax.jit(build(CONFIG)[0])(jax.random.key(0))
    by_step = [{name: values[i] for name, values in batches.items()} for i in range(NUM_STEPS)]
    optimizer, _ = make_optimizer(OPTIMIZER, NUM_STEPS)
    with jax.default_matmul_precision("highest"):
        first = jax.jit(outputs)(start, by_step[0])
        steps = list(train(start, by_step, optimizer))
    arrays = {f"batch/{name}": values for name, values in batches.items()}
    arrays |= {f"start/{name}": leaf for name, leaf in flatten(start).items()}
    arrays |= {f"end/{name}": leaf for name, leaf in flatten(steps[-1][1]).items()}
    arrays |= {f"output/{name}": np.asarray(value) for name, value in first.items()}
    arrays["losses"] = np.stack([losses for losses, _ in steps])
    np.savez_compressed(PATH, **arrays)  # type: ignore[arg-type]
    print(f"{PATH}: {PATH.stat().st_size:,} bytes; losses\n{arrays['losses']}")


if __name__ == "__main__":
    main()
