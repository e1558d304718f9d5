"""One training step of BERT or ModernBERT against Hugging Face's model in PyTorch.

    python benchmarks/train_step.py                                  # base, 16 x 128, float32
    python benchmarks/train_step.py --preset mini modernbert_mini --dropout 0
    python benchmarks/train_step.py --dtype bfloat16 --torch-python /path/to/other/bin/python

Each side runs in its own process, in alternating blocks; the other one waits. A step is forward,
backward, clipping and AdamW on rows with 15 % of their tokens masked, with dropout 0.1 on hidden
values and attention probabilities (`--dropout 0` turns both off). Ours is the step of
`pretrain.py`, including masking on the device and the check for NaN. PyTorch runs eagerly with its
scaled_dot_product_attention, fused AdamW and no attention mask (all rows are full, and a mask would
only slow it down); it projects every position onto the vocabulary, as its models do, where we
project the predicted ones. BERT learns next sentences too, ModernBERT masked words alone.
Compilation is not timed.
"""

import argparse
import sys
from typing import Any

import race

SHAPES = {
    "tiny": {"layers": 2, "width": 128, "heads": 2, "forward": 512},
    "mini": {"layers": 4, "width": 256, "heads": 4, "forward": 1024},
    "base": {"layers": 12, "width": 768, "heads": 12, "forward": 3072},
    "modernbert_mini": {"layers": 4, "width": 256, "heads": 4, "forward": 672},
    "modernbert_base": {"layers": 22, "width": 768, "heads": 12, "forward": 1152},
}
MODERN = ("modernbert_mini", "modernbert_base")
VOCAB_SIZE, MASKED_SHARE = 30522, 0.15
CLS, SEP, MASK = 101, 102, 103


# --- Both sides: `make(options) -> (description, run_steps)` --------------------------------------


def make_rows(options: argparse.Namespace) -> Any:
    """Return random rows, each filled by one pair, and the length of its first segment."""
    import numpy as np

    rng = np.random.default_rng(0)
    tokens = rng.integers(1000, VOCAB_SIZE, (options.batch, options.length)).astype(np.int32)
    half = options.length // 2
    tokens[:, 0] = CLS
    tokens[:, [half - 1, -1]] = SEP
    return tokens, half


def make_fields(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a configuration, which have the same names on both sides."""
    shape = SHAPES[options.preset]
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    if options.preset in MODERN:
        names = ("embedding_dropout", "attention_dropout", "mlp_dropout")
    return {
        "hidden_size": shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": shape["forward"],
        "max_position_embeddings": max(512, options.length),
        "vocab_size": VOCAB_SIZE,
        **dict.fromkeys(names, options.dropout),
    }


def make_jax(options: argparse.Namespace) -> Any:
    """Build the step of bert_jax."""
    import jax
    import numpy as np

    from bert_jax.config import BertConfig, MaskingConfig, ModernBertConfig, OptimizerConfig
    from bert_jax.models.architectures import architecture
    from bert_jax.models.functional import build
    from bert_jax.nn.execution import choose_execution, device_platform
    from bert_jax.tasks.masking import MaskingRules
    from bert_jax.tasks.pretraining import make_pretraining_objective, pretraining_architecture
    from bert_jax.training.flops import flops_per_token, peak_flops
    from bert_jax.training.optimizers import make_optimizer
    from bert_jax.training.parallel import DataParallel
    from bert_jax.training.step import init_state, make_train_step

    config_class = ModernBertConfig if options.preset in MODERN else BertConfig
    config = config_class(**make_fields(options))
    execution = choose_execution(
        "auto",
        platform=device_platform(),
        dtype=options.dtype,
        dropout_rate=options.dropout,
        unroll=options.unroll,
    )
    init, merge = build(config, architecture(pretraining_architecture(config, config.has_nsp)))
    rules = MaskingRules(MaskingConfig(), VOCAB_SIZE, CLS, SEP, MASK)
    is_continuation = np.zeros(VOCAB_SIZE, bool)
    objective = make_pretraining_objective(
        merge, jax.random.key(0), rules, is_continuation, execution
    )
    optimizer, _ = make_optimizer(OptimizerConfig(warmup_steps=10), 1000)
    parallel = DataParallel(num_devices=1)
    step = parallel.shard(make_train_step(objective, optimizer))
    tokens, half = make_rows(options)
    n = options.batch
    labels = {"is_random_next": np.arange(n, dtype=np.int32)[:, None] % 2}
    batch = {
        **(labels if config.has_nsp else {}),
        "tokens": tokens,
        "lengths": np.tile(np.array([half, options.length - half], np.int32), (n, 1, 1)),
        "row": np.arange(n, dtype=np.int32),
        "epoch": np.zeros(n, np.int32),
    }
    state = parallel.put_state(
        jax.jit(lambda key: init_state(init(key), optimizer, key))(jax.random.key(0))
    )

    def run_steps(num_steps: int) -> float:
        nonlocal state
        metrics = None
        for _ in range(num_steps):
            state, metrics = step(state, parallel.put_batch(batch))
        return float(parallel.get(metrics)["loss"][0])

    device = jax.devices()[0]
    flops = flops_per_token(config, options.length, MASKED_SHARE)
    about = (
        f"bert_jax on jax {jax.__version__}, {device.device_kind}, {execution.attention} attention"
    )
    return {"about": about, "flops": flops, "peak": peak_flops(device.device_kind)}, run_steps


def make_torch(options: argparse.Namespace) -> Any:
    """Build the step of PyTorch and transformers."""
    import torch  # type: ignore[import-not-found]
    import transformers  # type: ignore[import-not-found]

    device = "cuda" if torch.cuda.is_available() else "cpu"
    is_modern = options.preset in MODERN
    config_class = transformers.ModernBertConfig if is_modern else transformers.BertConfig
    config = config_class(**make_fields(options), pad_token_id=0)
    auto = transformers.AutoModelForMaskedLM if is_modern else transformers.AutoModelForPreTraining
    model: Any = auto.from_config(config).to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, eps=1e-6, weight_decay=0.01, fused=True
    )
    rows, half = make_rows(options)
    tokens = torch.tensor(rows, dtype=torch.long)
    candidates = torch.rand(tokens.shape).masked_fill((tokens == CLS) | (tokens == SEP), 2.0)
    chosen = candidates.argsort(dim=1)[:, : round(MASKED_SHARE * options.length)]
    labels = torch.full_like(tokens, -100).scatter(1, chosen, tokens.gather(1, chosen))
    batch = {
        "input_ids": tokens.scatter(1, chosen, MASK),
        "labels": labels,
    }
    if not is_modern:
        batch["token_type_ids"] = (torch.arange(options.length) >= half).long().expand_as(tokens)
        batch["next_sentence_label"] = torch.arange(options.batch) % 2

    def run_steps(num_steps: int) -> float:
        loss = torch.zeros(())
        for _ in range(num_steps):
            on_device = {name: values.to(device) for name, values in batch.items()}
            with torch.autocast(device, torch.bfloat16, enabled=options.dtype == "bfloat16"):
                loss = model(**on_device).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.item()

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    attention = model.config._attn_implementation
    about = f"transformers {transformers.__version__} on torch {torch.__version__}, {name}, "
    return {"about": about + f"{attention} attention"}, run_steps


def main() -> None:
    """Parse the command line and run the race of each preset, one after the other."""
    chooser = argparse.ArgumentParser(add_help=False)
    chooser.add_argument("--preset", choices=SHAPES, nargs="+", default=["base"])
    chosen, others = chooser.parse_known_args()
    for preset in chosen.preset:
        sys.argv[1:] = [*others, "--preset", preset]
        race_preset()


def race_preset() -> None:
    """Run the race of the preset that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=SHAPES, default="base")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--unroll", action="store_true", help="unroll our loop over layers")
    title = "{preset}, {batch} x {length}, {dtype}, dropout {dropout}"
    race.run(__file__, parser, {"jax": make_jax, "torch": make_torch}, title)


if __name__ == "__main__":
    main()
