"""One training step of the translation Transformer against PyTorch's `nn.Transformer`.

    python benchmarks/translation_step.py                    # the tiny model, 32 pairs of 32 tokens
    python benchmarks/translation_step.py --preset base

Each side runs in its own process, in alternating blocks. A step is forward, backward and Adam on
pairs, with dropout 0.1 on embeddings and sublayers, label smoothing 0.1 and embeddings shared
between source, target and output. Ours is the step of `train_translator.py`, including the check
for NaN. PyTorch runs eagerly, with its scaled_dot_product_attention, fused Adam, a causal mask and
no padding. Its layers also apply dropout to attention probabilities and inside the feed-forward
layers, at the same rate; `--dropout 0` turns it off on both sides. Compilation is not timed.
"""

import argparse
import math
from typing import Any

import race

SHAPES = {
    "tiny": {"layers": 4, "width": 128, "heads": 4, "forward": 256, "vocab_size": 9712},
    "base": {"layers": 6, "width": 512, "heads": 8, "forward": 2048, "vocab_size": 37_000},
}
SMOOTHING = 0.1


def make_pairs(options: argparse.Namespace) -> dict[str, Any]:
    """Return random pairs that fill their rows."""
    import numpy as np

    rng, size = np.random.default_rng(0), (options.batch, options.length)
    vocab_size = SHAPES[options.preset]["vocab_size"]
    return {
        side: rng.integers(4, vocab_size, size).astype(np.int32) for side in ("source", "target")
    }


def make_jax(options: argparse.Namespace) -> Any:
    """Build the step of bert_jax."""
    import jax

    from bert_jax.config import OptimizerConfig
    from bert_jax.lineage.config import TransformerConfig
    from bert_jax.lineage.translation import build_translator, make_translation_objective
    from bert_jax.nn.execution import Execution
    from bert_jax.training.optimizers import make_optimizer
    from bert_jax.training.parallel import DataParallel
    from bert_jax.training.step import init_state, make_train_step

    shape = SHAPES[options.preset]
    config = TransformerConfig(
        hidden_size=shape["width"],
        num_encoder_layers=shape["layers"],
        num_decoder_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        intermediate_size=shape["forward"],
        vocab_size=shape["vocab_size"],
        hidden_dropout_prob=options.dropout,
    )
    init, merge = build_translator(config)
    objective = make_translation_objective(merge, SMOOTHING, Execution(unroll=options.unroll))
    optimizer, _ = make_optimizer(
        OptimizerConfig(schedule="constant", warmup_steps=0, weight_decay=0.0, clip_norm=None), 1000
    )
    parallel = DataParallel(num_devices=1)
    step = parallel.shard(make_train_step(objective, optimizer))
    batch = make_pairs(options)
    state = parallel.put_state(
        jax.jit(lambda key: init_state(init(key), optimizer, key))(jax.random.key(0))
    )

    def run_steps(num_steps: int) -> float:
        nonlocal state
        metrics = None
        for _ in range(num_steps):
            state, metrics = step(state, parallel.put_batch(batch))
        return float(parallel.get(metrics)["loss"][0])

    return {"about": f"bert_jax on jax {jax.__version__}"}, run_steps


def make_torch(options: argparse.Namespace) -> Any:
    """Build the step of PyTorch."""
    import torch  # type: ignore[import-not-found]

    shape = SHAPES[options.preset]
    width = shape["width"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    embedding = torch.nn.Embedding(shape["vocab_size"], width, device=device)
    torch.nn.init.normal_(embedding.weight, std=width**-0.5)
    model = torch.nn.Transformer(
        width,
        shape["heads"],
        shape["layers"],
        shape["layers"],
        shape["forward"],
        options.dropout,
        batch_first=True,
        device=device,
    ).train()
    rate = torch.arange(0, width, 2) * (-math.log(10000.0) / width)
    angles = torch.arange(options.length)[:, None] * torch.exp(rate)[None]
    positions = torch.stack([angles.sin(), angles.cos()], -1).reshape(options.length, width)
    positions = positions.to(device)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(options.length, device=device)
    optimizer = torch.optim.Adam(
        [*model.parameters(), *embedding.parameters()], lr=1e-4, fused=True
    )
    pairs = {
        side: torch.tensor(tokens, dtype=torch.long, device=device)
        for side, tokens in make_pairs(options).items()
    }
    start = torch.full((options.batch, 1), 2, device=device)

    def embed(tokens: Any) -> Any:
        x = embedding(tokens) * math.sqrt(width) + positions
        return torch.nn.functional.dropout(x, options.dropout)

    def run_steps(num_steps: int) -> float:
        loss = torch.zeros(())
        for _ in range(num_steps):
            inputs = torch.cat([start, pairs["target"][:, :-1]], dim=1)
            hidden = model(
                embed(pairs["source"]), embed(inputs), tgt_mask=causal, tgt_is_causal=True
            )
            logits = hidden @ embedding.weight.T
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), pairs["target"].flatten(), label_smoothing=SMOOTHING
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return {"about": f"nn.Transformer on torch {torch.__version__}, {device}"}, run_steps


def main() -> None:
    """Parse the command line and run the race."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=SHAPES, default="tiny")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--unroll", action="store_true", help="unroll our loops over layers")
    title = "{preset}, {batch} pairs of {length} tokens, float32, dropout {dropout}"
    race.run(__file__, parser, {"jax": make_jax, "torch": make_torch}, title)


if __name__ == "__main__":
    main()
