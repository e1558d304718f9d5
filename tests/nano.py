"""The smallest pretraining run: ten steps of a tiny model on a prepared synthetic corpus."""

from pathlib import Path

import prepare
from bert_jax.config import (
    BertConfig,
    LoopConfig,
    OptimizerConfig,
    Phase,
    PrepareConfig,
    PretrainConfig,
)
from tests.toy_corpus import write_corpus

MODEL = BertConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=64,
)  # fmt: skip


def prepare_nano(folder: Path) -> Path:
    """Prepare rows of two lengths from the synthetic corpus; return their folder."""
    text = write_corpus(folder / "text.txt")
    config = PrepareConfig(
        inputs=(str(text),), output=str(folder / "rows"), lengths=(32, 64), vocab_size=150,
        eval_share=0.1, workers=1,
    )  # fmt: skip
    prepare.main(config)
    return folder / "rows"


def make_nano(prepared: Path, folder: Path) -> PretrainConfig:
    """Return a run of ten steps with dropout, over two row lengths and the end of an epoch."""
    return PretrainConfig(
        data=str(prepared),
        model=MODEL,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=2),
        phases=(
            Phase(length=32, batch_size=16, share=0.6),
            Phase(length=64, batch_size=8, share=0.4),
        ),
        loop=LoopConfig(steps=10, log_every=1, eval_every=5, checkpoint_every=4),
        name="nano",
        runs_dir=str(folder / "runs"),
        eval_rows=16,
    )  # fmt: skip
