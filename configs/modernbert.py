"""Pretraining runs of ModernBERT, which `configs.pretrain` lists."""

from bert_jax.config import (
    LoopConfig,
    MaskingConfig,
    ModernBertConfig,
    OptimizerConfig,
    Phase,
    PretrainConfig,
)


def modernbert_tiny() -> PretrainConfig:
    """ModernBERT of the size of `tiny`, 2 layers of 128, by its recipe; rows of 32 and 128 tokens.

    Layers alternate between the whole sequence and a window of 64 tokens.
    """
    return PretrainConfig(
        data="data/corpus",
        model=ModernBertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=336,
            max_position_embeddings=512,
            global_attn_every_n_layers=2,
            local_attention=64,
            initializer_range=0.05,
        ),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=3e-3,
            muon_learning_rate=0.02,
            warmup_steps=200,
            b2=0.98,
            eps=1e-8,
        ),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        nsp=False,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        phases=(
            Phase(length=32, batch_size=64, share=0.7),
            Phase(length=128, batch_size=32, share=0.3),
        ),
        loop=LoopConfig(steps=8000, log_every=50, eval_every=400, checkpoint_every=400),
        eval_rows=1024,
    )


def modernbert_mini() -> PretrainConfig:
    """ModernBERT of the size of `mini`, 4 layers of 256, by the recipe of `tiny`.

    Layers 0 and 3 attend to the whole sequence, the others to a window of 128 tokens.
    """
    return PretrainConfig(
        data="data/corpus",
        model=ModernBertConfig(
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=672,
            max_position_embeddings=1024,
            initializer_range=0.05,
        ),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=3e-3,
            muon_learning_rate=0.02,
            warmup_steps=200,
            b2=0.98,
            eps=1e-8,
        ),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        nsp=False,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        phases=(
            Phase(length=32, batch_size=64, share=0.7),
            Phase(length=128, batch_size=16, share=0.3),
        ),
        loop=LoopConfig(steps=4000, log_every=50, eval_every=400, checkpoint_every=400),
        eval_rows=1024,
    )


def modernbert_base() -> PretrainConfig:
    """ModernBERT-base, 22 layers of 768 (Warner et al. 2024), by the recipe of `tiny`; not tried.

    The paper masks 30 % throughout, with StableAdamW and 1.7 trillion tokens, and ends with rows of
    8,192 tokens; here rows have 128 and 1024, and positions are good for as many.
    """
    return PretrainConfig(
        data="data/corpus",
        model=ModernBertConfig(max_position_embeddings=1024),
        optimizer=OptimizerConfig(
            name="muon", learning_rate=1e-3, muon_learning_rate=0.02, warmup_steps=2000, b2=0.98
        ),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        nsp=False,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        phases=(
            Phase(length=128, batch_size=256, share=0.9),
            Phase(length=1024, batch_size=64, share=0.1),
        ),
        loop=LoopConfig(steps=500_000, log_every=100, eval_every=5000, checkpoint_every=5000),
        dtype="bfloat16",
        accumulation_steps="auto",
    )
