"""Number words in English and German, and a small model trained to translate them."""

from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.lineage.config import SearchConfig, Seq2SeqConfig, TrainTranslatorConfig

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


def write_words(path, num, seed):
    """Write a table of number words in English and German; return it as `train` expects it."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(list(WORDS), size=rng.integers(1, 5)) for _ in range(num)]
    lines = ["\t".join((" ".join(row), " ".join(WORDS[w] for w in row))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (str(path),)


@pytest.fixture(scope="session")
def word_config(tmp_path_factory) -> TrainTranslatorConfig:
    """Return the configuration of a small LSTM on word pairs."""
    folder = tmp_path_factory.mktemp("translate")
    return TrainTranslatorConfig(
        model=Seq2SeqConfig(embedding_size=16, hidden_size=32, dropout=0.05, init_range=0.3),
        train=write_words(folder / "train.tsv", 400, 0),
        dev=write_words(folder / "dev.tsv", 30, 1),
        vocab_size=60,
        batch_tokens=None,
        batch_size=32,
        label_smoothing=0.1,
        metric="exact",
        optimizer=OptimizerConfig(
            learning_rate=1e-2, warmup_steps=10, schedule="constant", weight_decay=0.0
        ),
        loop=LoopConfig(steps=300, log_every=10, eval_every=150, checkpoint_every=100, keep_last=3),
        search=SearchConfig(num_beams=2),
        name="words",
        runs_dir=str(folder / "runs"),
    )


@pytest.fixture(scope="session")
def trained_words(word_config) -> Path:
    """Train that configuration; return the run's directory."""
    import train_translator

    assert train_translator.main(word_config) == 0
    return Path(word_config.runs_dir) / word_config.name
