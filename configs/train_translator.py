"""Translation runs: `python train_translator.py NAME`. Copy one for your own pairs."""

from dataclasses import replace

from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.lineage.config import (
    GNMTConfig,
    SearchConfig,
    Seq2SeqConfig,
    TrainTranslatorConfig,
    TransformerConfig,
)

MULTI30K = {
    "train": ("data/multi30k/train.lc.norm.tok.en", "data/multi30k/train.lc.norm.tok.de"),
    "dev": ("data/multi30k/val.lc.norm.tok.en", "data/multi30k/val.lc.norm.tok.de"),
    "test": (
        "data/multi30k/test_2016_flickr.lc.norm.tok.en",
        "data/multi30k/test_2016_flickr.lc.norm.tok.de",
    ),
}


def dates() -> TrainTranslatorConfig:
    """Dates in many formats to ISO dates, character by character, with attention.

    Pass --train and --dev: `question_answer` lines such as "september 27, 1994 _1994-09-27". The
    sources have one width, and are read reversed and padded: if the year came first, attention
    would go to later states, which are larger (93 % of the year's digits are attended to within one
    position of where they are, against 64 % with unpadded sources).
    """
    return TrainTranslatorConfig(
        model=Seq2SeqConfig(
            embedding_size=16, hidden_size=128, reverse_source=True, pass_cells=False,
            attentional_layer=False,
        ),
        train=("data/dates/train.txt",),
        dev=("data/dates/dev.txt",),
        vocabulary="characters",
        batch_tokens=None,
        batch_size=128,
        min_length=32,
        source_length=30,
        label_smoothing=0.0,
        metric="exact",
        optimizer=OptimizerConfig(
            learning_rate=4e-3, warmup_steps=0, schedule="constant", weight_decay=0.0, eps=1e-7,
            clip_norm=5.0,
        ),
        loop=LoopConfig(steps=1760, eval_every=352, checkpoint_every=352),
    )  # fmt: skip


def dates_fixed() -> TrainTranslatorConfig:
    """`dates` without attention: the decoder gets the source as one vector, and fails."""
    return replace(
        dates(),
        model=Seq2SeqConfig(
            embedding_size=16,
            hidden_size=128,
            reverse_source=True,
            pass_cells=False,
            attention="none",
        ),
    )


def addition() -> TrainTranslatorConfig:
    """Sums such as "16+75 _91", with reversed source and the context at every step ("peeky")."""
    return TrainTranslatorConfig(
        model=Seq2SeqConfig(
            embedding_size=16, hidden_size=128, reverse_source=True, pass_cells=False,
            attention="none", peeky=True, init_range=None, forget_bias=0.0,
        ),
        train=("data/addition/train.txt",),
        dev=("data/addition/dev.txt",),
        vocabulary="characters",
        batch_tokens=None,
        batch_size=128,
        min_length=16,
        label_smoothing=0.0,
        metric="exact",
        optimizer=OptimizerConfig(
            learning_rate=1e-3, warmup_steps=0, schedule="constant", weight_decay=0.0, eps=1e-7,
            clip_norm=5.0,
        ),
        loop=LoopConfig(steps=8800, eval_every=352, checkpoint_every=352),
        eval_pairs=2000,
    )  # fmt: skip


def multi30k_tiny() -> TrainTranslatorConfig:
    """English to German captions (Multi30k), a Transformer of 2.6 million parameters.

    The text is tokenized and lower-cased already. 15 minutes on 2 CPU cores are four epochs: too
    few to overfit, so there is no dropout, which would slow it down; and the learning rate decays
    to 0, where the paper's schedule, made for long runs, would still be high at the end.
    """
    return TrainTranslatorConfig(
        model=TransformerConfig(
            hidden_size=128, num_encoder_layers=4, num_decoder_layers=4, num_attention_heads=4,
            intermediate_size=256, hidden_dropout_prob=0.0,
        ),
        **MULTI30K,
        vocab_size=9712,
        batch_tokens=1024,
        bleu_tokenize="none",
        optimizer=OptimizerConfig(
            learning_rate=3e-3, warmup_steps=500, schedule="linear", b2=0.98, eps=1e-9,
            weight_decay=0.0, clip_norm=None,
        ),
        loop=LoopConfig(steps=2300, eval_every=575, checkpoint_every=575, log_every=50),
    )  # fmt: skip


def multi30k() -> TrainTranslatorConfig:
    """`multi30k_tiny` for a GPU: four times the batch, 8,000 steps, dropout 0.3, five beams."""
    return TrainTranslatorConfig(
        model=TransformerConfig(
            hidden_size=128, num_encoder_layers=4, num_decoder_layers=4, num_attention_heads=4,
            intermediate_size=256, hidden_dropout_prob=0.3,
        ),
        **MULTI30K,
        vocab_size=9712,
        batch_tokens=4096,
        bleu_tokenize="none",
        optimizer=OptimizerConfig(
            learning_rate=5e-3, warmup_steps=2000, schedule="inverse_sqrt", b2=0.98, eps=1e-9,
            weight_decay=0.0, clip_norm=None,
        ),
        loop=LoopConfig(steps=8000, eval_every=500, checkpoint_every=500, log_every=50),
        search=SearchConfig(num_beams=5),
        dtype="bfloat16",
    )  # fmt: skip


def multi30k_attention() -> TrainTranslatorConfig:
    """English to German captions, LSTMs with attention (Luong et al. 2015) and input feeding.

    Embeddings start with variance 1: if all values are small, so are the states, and attention has
    nothing to tell them apart by. Scores are scaled: unscaled ones soon differ so much that all
    weight is on one token. Small batches and a small vocabulary give more updates a minute.
    """
    return TrainTranslatorConfig(
        model=Seq2SeqConfig(
            embedding_size=192, hidden_size=192, bidirectional=True, attention="scaled",
            input_feeding=True, init_range=None, tie_embeddings=True,
        ),
        **MULTI30K,
        vocab_size=5000,
        batch_tokens=512,
        bleu_tokenize="none",
        optimizer=OptimizerConfig(
            learning_rate=3e-3, warmup_steps=200, schedule="linear", weight_decay=0.0,
        ),
        loop=LoopConfig(steps=6000, eval_every=1500, checkpoint_every=750, log_every=50),
    )  # fmt: skip


def multi30k_gnmt() -> TrainTranslatorConfig:
    """English to German captions, a small GNMT (Wu et al. 2016), trained as `multi30k_attention`.

    After three layers the last state tells as much of a word as the state at the word, so there is
    little to align to: the word's embedding is added to the state. Initial kernels are larger than
    the paper's U(±0.04), which suits its width of 1,024.
    """
    return TrainTranslatorConfig(
        model=GNMTConfig(
            embedding_size=192, hidden_size=192, num_layers=3, dropout=0.0, init_range=0.14,
            tie_embeddings=True, residual_words=True,
        ),
        **MULTI30K,
        vocab_size=5000,
        batch_tokens=512,
        bleu_tokenize="none",
        optimizer=OptimizerConfig(
            learning_rate=3e-3, warmup_steps=200, schedule="linear", weight_decay=0.0,
        ),
        loop=LoopConfig(steps=4500, eval_every=1500, checkpoint_every=750, log_every=50),
        search=SearchConfig(num_beams=4, length_penalty=0.2, coverage_penalty=0.2),
    )  # fmt: skip


def wmt14() -> TrainTranslatorConfig:
    """The paper's base model on WMT 2014 English to German, from TFDS; for 8 GPUs or a TPU.

    Batches of 25,000 tokens on each side, 100,000 steps (Vaswani et al. 2017, section 5).
    """
    return TrainTranslatorConfig(
        model=TransformerConfig(),
        train=("tfds:wmt14_translate/de-en:train",),
        dev=("tfds:wmt14_translate/de-en:validation",),
        test=("tfds:wmt14_translate/de-en:test",),
        columns=("en", "de"),
        vocab_size=37_000,
        batch_tokens=25_000,
        optimizer=OptimizerConfig(
            learning_rate=7e-4, warmup_steps=4000, schedule="inverse_sqrt", b2=0.98, eps=1e-9,
            weight_decay=0.0, clip_norm=None,
        ),
        loop=LoopConfig(steps=100_000, eval_every=5000, checkpoint_every=5000),
        search=SearchConfig(num_beams=4),
        dtype="bfloat16",
    )  # fmt: skip


def chatbot() -> TrainTranslatorConfig:
    """Toy chatbot on English and Korean questions and answers written for this project.

    It memorizes the answers; talk to it with `python translate.py runs/chatbot`.
    """
    return TrainTranslatorConfig(
        model=Seq2SeqConfig(
            embedding_size=64, hidden_size=128, bidirectional=True, attention="general", dropout=0.1
        ),
        train=("examples/dialogue.tsv",),
        dev=("examples/dialogue.tsv",),
        vocab_size=600,
        batch_tokens=None,
        batch_size=32,
        min_length=32,
        label_smoothing=0.0,
        metric="exact",
        optimizer=OptimizerConfig(
            learning_rate=2e-3, warmup_steps=50, schedule="constant", weight_decay=0.0,
        ),
        loop=LoopConfig(steps=1500, log_every=50, eval_every=500, checkpoint_every=500),
    )  # fmt: skip


RUNS = {
    run.__name__: run
    for run in (
        dates,
        dates_fixed,
        addition,
        multi30k_tiny,
        multi30k,
        multi30k_attention,
        multi30k_gnmt,
        wmt14,
        chatbot,
    )
}
