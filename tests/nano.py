"""The smallest pretraining run: a made-up corpus, prepared, and ten steps of a tiny model."""

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
from tests.corpus import write_corpus

MODEL = BertConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=64,
)  # fmt: skip


def prepare_nano(folder: Path) -> Path:
    """Rows of two lengths of the made-up corpus."""
    text = write_corpus(folder / "text.txt")
    config = PrepareConfig(
        inputs=(str(text),), output=str(folder / "rows"), lengths=(32, 64), vocab_size=150,
        eval_share=0.1, workers=1,
    )  # fmt: skip
    prepare.main(config)
    return folder / "rows"


def make_nano(prepared: Path, folder: Path) -> PretrainConfig:
    """Ten steps of a tiny model on 8 devices, with dropout, over two lengths and an epoch's end."""
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
