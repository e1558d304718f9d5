"""Sizes of the benchmark, the rows that it trains on, and the runs that it measures."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bert_jax.config import (
    BertConfig,
    EncoderConfig,
    LoopConfig,
    MaskingConfig,
    OptimizerConfig,
    Phase,
    PrepareConfig,
    PretrainConfig,
)
from configs.pretrain import base

STEPS = 100_000  # of the schedule: more than the benchmark ever takes
WORDS_PER_SENTENCE, SENTENCES_PER_DOCUMENT = 20, 12


@dataclasses.dataclass(frozen=True)
class Size:
    """Amounts of work, for an accelerator or for a test."""

    model: EncoderConfig
    """Encoder to pretrain."""
    phases: tuple[Phase, ...]
    """Row lengths, and rows in a step."""
    sentences: int
    """Generated sentences, from which rows are prepared."""
    steps: int
    """Steps in a measured block."""
    blocks: int
    """Measured blocks of each side, after one to warm up."""
    head_width: int
    """Width of a head in the comparison of attention kernels."""
    same_bits_steps: int
    """Steps of each of the two runs whose parameters must be equal."""
    task_model: Literal["nano", "base"]
    """Model to fine-tune, by its name in task_speed.py."""
    texts: int
    """Texts to fine-tune on, and to predict."""


FULL = Size(
    model=replace(base().model, vocab_size=30_522),
    phases=(Phase(128, 256), Phase(512, 64)),
    sentences=20_000,
    steps=40,
    blocks=3,
    head_width=64,
    same_bits_steps=50,
    task_model="base",
    texts=16_384,
)
TOY = Size(
    model=BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        vocab_size=512,
        attention_probs_dropout_prob=0.0,
    ),
    phases=(Phase(32, 8), Phase(64, 4)),
    sentences=200,
    steps=2,
    blocks=1,
    head_width=16,
    same_bits_steps=3,
    task_model="nano",
    texts=64,
)
SIZES = {"full": FULL, "toy": TOY}


def adamw_run(size: Size, phase: Phase, data: Path) -> PretrainConfig:
    """Return a run that PyTorch can repeat: AdamW, 15 % of the tokens masked, MLM alone."""
    return PretrainConfig(
        data=str(data),
        model=size.model,
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=100),
        masking=MaskingConfig(),
        nsp=False,
        phases=(phase,),
        loop=LoopConfig(steps=STEPS),
        dtype="bfloat16",
    )


def preset_run(size: Size, phase: Phase, data: Path) -> PretrainConfig:
    """Return the preset `base` as it stands, with rows of one length."""
    preset = base()
    loop = replace(preset.loop, steps=STEPS)
    return replace(preset, data=str(data), model=size.model, phases=(phase,), loop=loop)


def prepare_rows(folder: Path, size: Size) -> Path:
    """Prepare rows of generated text of every length; return their folder.

    Documents have 12 sentences of 20 words on average, so that rows hold several sequences of very
    different lengths, as those of Wikipedia do.
    """
    import prepare
    from task_speed import make_texts

    sentences = make_texts(size.sentences, mean=WORDS_PER_SENTENCE)
    rng = np.random.default_rng(0)
    ends = rng.random(len(sentences)) < 1 / SENTENCES_PER_DOCUMENT
    text = folder / "text.txt"
    pairs = zip(sentences, ends, strict=True)
    text.write_text("".join(f"{s}\n" + "\n" * bool(end) for s, end in pairs), encoding="utf-8")
    assert size.model.vocab_size is not None
    config = PrepareConfig(
        inputs=(str(text),),
        output=str(folder / "data"),
        vocab_size=size.model.vocab_size,
        lowercase=True,
        lengths=tuple(phase.length for phase in size.phases),
        sentences="lines",
        nsp=False,
        eval_share=0.0,
    )
    prepare.main(config)
    return folder / "data"
