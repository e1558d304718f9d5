"""Pretraining runs: `python pretrain.py NAME`. Each is self-contained; copy one for your own."""

from bert_jax.config import (
    BertConfig,
    LoopConfig,
    MaskingConfig,
    OptimizerConfig,
    Phase,
    PretrainConfig,
)
from configs.modernbert import modernbert_base, modernbert_mini, modernbert_tiny


def demo() -> PretrainConfig:
    """BERT-Tiny on the language reference that ships with Python; `make demo` runs it.

    Short rows, larger initial weights and a small epsilon help attention to find neighbouring
    tokens in so little training; the text, 0.4 MB, is seen about 20 times.
    """
    return PretrainConfig(
        data="data/demo",
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=64,
            initializer_range=0.05,
        ),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=200, b2=0.98, eps=1e-8),
        phases=(Phase(length=32, batch_size=32),),
        loop=LoopConfig(steps=1800, log_every=100, eval_every=200, checkpoint_every=600),
        eval_rows=512,
    )


def tiny() -> PretrainConfig:
    """BERT-Tiny, 2 layers of 128, for a laptop; needs rows of 32 and of 128 tokens.

    The recipe of docs/recipe.md: word embeddings that start as PPMI vectors, Muon, masked words
    alone, at a mask rate that falls from 30 to 15 %.
    """
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
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


def tiny_original() -> PretrainConfig:
    """BERT-Tiny by the faithful recipe: AdamW, MLM and NSP, constant masks, random weights.

    With so few training tokens, its settings help attention to find neighbouring tokens early:
    short rows first, initial weights and an epsilon that suit this width, more masks, no dropout.

    On 64 MB of Korean Wikipedia with a vocabulary of 4,096, on one CPU core: held-out MLM loss 4.82
    after 4,400 steps (unigram model: 7.17), NSP accuracy 0.682 (majority class: 0.526).
    """
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.07,
        ),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=300, b2=0.98, eps=1e-8),
        masking=MaskingConfig(rate=0.3),
        phases=(
            Phase(length=32, batch_size=64, share=0.4),
            Phase(length=128, batch_size=32, share=0.6),
        ),
        loop=LoopConfig(steps=8000, log_every=50, eval_every=400, checkpoint_every=400),
        eval_rows=1024,
    )


def mini() -> PretrainConfig:
    """BERT-Mini, 4 layers of 256, by the recipe of `tiny`; needs rows of 32 and of 128 tokens."""
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
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


def reviews() -> PretrainConfig:
    """BERT-Tiny on short reviews, such as NSMC's, with a vocabulary of 16,384; rows of 64 tokens.

    The rate stays at its peak, so that one long run gives many finished models:
    `--decay-from STEP` ends it at any step that it has a checkpoint of; `--keep-every` keeps them.
    """
    return PretrainConfig(
        data="data/reviews",
        model=BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=128,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.05,
        ),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=3e-3,
            muon_learning_rate=0.02,
            warmup_steps=200,
            schedule="wsd",
            b2=0.98,
            eps=1e-8,
        ),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        nsp=False,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        phases=(Phase(length=64, batch_size=64),),
        loop=LoopConfig(steps=12_000, log_every=50, eval_every=500, checkpoint_every=500),
        eval_rows=1024,
        unroll=True,
    )


def small() -> PretrainConfig:
    """BERT-Small, 4 layers of 512, by the recipe of `tiny`; not tried at this size."""
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(
            hidden_size=512,
            num_hidden_layers=4,
            num_attention_heads=8,
            intermediate_size=2048,
            attention_probs_dropout_prob=0.0,
        ),
        optimizer=OptimizerConfig(
            name="muon", learning_rate=2e-3, muon_learning_rate=0.02, warmup_steps=1000, b2=0.98
        ),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        nsp=False,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        phases=(Phase(length=128, batch_size=256),),
        loop=LoopConfig(steps=50_000, log_every=100),
        dtype="bfloat16",
    )


def base() -> PretrainConfig:
    """BERT-base by the recipe of `tiny`; not tried at this size, for want of a machine.

    docs/recipe.md has a plan for one GPU. `base_original` is the paper's run, with NSP.
    """
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(attention_probs_dropout_prob=0.0),
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
            Phase(length=512, batch_size=256, share=0.1),
        ),
        loop=LoopConfig(steps=1_000_000, log_every=100, eval_every=5000, checkpoint_every=5000),
        dtype="bfloat16",
        accumulation_steps="auto",
    )


def base_original() -> PretrainConfig:
    """BERT-base as in the paper (Devlin et al. 2019, appendix A.2) and its published code.

    Adam without bias correction, dropout 0.1 on attention too, 90 % of the steps at 128 tokens and
    10 % at 512, in one run with one schedule. For rows as in the paper, prepare with `--no-pack`.
    """
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(),
        optimizer=OptimizerConfig(name="original", learning_rate=1e-4, warmup_steps=10_000),
        phases=(
            Phase(length=128, batch_size=256, share=0.9),
            Phase(length=512, batch_size=256, share=0.1),
        ),
        loop=LoopConfig(steps=1_000_000, log_every=100, eval_every=5000, checkpoint_every=5000),
        dtype="bfloat16",
        accumulation_steps="auto",
    )


def large() -> PretrainConfig:
    """BERT-large: 24 layers of 1024."""
    return PretrainConfig(
        data="data/corpus",
        model=BertConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            attention_probs_dropout_prob=0.0,
        ),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        phases=(
            Phase(length=128, batch_size=256, share=0.9),
            Phase(length=512, batch_size=256, share=0.1),
        ),
        loop=LoopConfig(steps=1_000_000, log_every=100, eval_every=5000, checkpoint_every=5000),
        dtype="bfloat16",
        accumulation_steps="auto",
        remat=True,
    )


RUNS = {
    run.__name__: run
    for run in (
        demo,
        tiny,
        tiny_original,
        mini,
        reviews,
        small,
        base,
        base_original,
        large,
        modernbert_tiny,
        modernbert_mini,
        modernbert_base,
    )
}
