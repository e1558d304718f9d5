"""Stages of fine-tuning and prediction: sentences per second, on sentences as long as SST-2's."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accelerator.sizes import Size
from benchmarks.accelerator.table import Row

# Words of a sentence of SST-2's training set: 9.4 on average, a deviation of 8, 52 at most; so the
# logarithm deviates by √ln(1 + (8 / 9.4)²).
MEAN_WORDS, LOG_DEVIATION, MOST_WORDS = 9.4, 0.74, 52
SST2_EXAMPLES = 67_349


def finetune_rate(stage: str, size: Size, folder: Path) -> Iterator[Row]:
    """Fine-tune for two epochs; yield the first one's time, and the speed of the second."""
    yield from measure(stage, size, folder, "finetune")


def predict_rate(stage: str, size: Size, folder: Path) -> Iterator[Row]:
    """Predict all sentences twice; yield the first time, and the speed of the second."""
    yield from measure(stage, size, folder, "predict")


def measure(stage: str, size: Size, folder: Path, what: str) -> Iterator[Row]:
    """Do the work of task_speed.py's side of ours twice, and yield its measurements."""
    from task_sides import OURS, Options, make_side
    from task_speed import make_texts, write_model

    sentences = folder / "sentences.txt"
    texts = make_texts(size.texts, mean=MEAN_WORDS, deviation=LOG_DEVIATION, longest=MOST_WORDS)
    sentences.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    options = Options(
        "finetune" if what == "finetune" else "predict",
        model=size.task_model,
        texts=str(sentences),
        num_texts=size.texts,
        rounds=1,
        max_length=64,
        dtype="bfloat16",
    )
    model = str(folder / f"{what}-model")
    texts = write_model(options, model)
    about, run_round = make_side(OURS, options, model, texts)
    start = time.perf_counter()
    run_round()
    note = "with compilation of every shape"
    yield Row(stage, "first round", time.perf_counter() - start, "s", note)
    seconds, _ = run_round()
    note = f"{len(texts):,} sentences in batches of {options.batch_size}, {options.dtype}; "
    note += about
    yield Row(stage, "sentences", len(texts) / seconds, "/s", note)
    if what == "finetune":
        epochs = 3 * SST2_EXAMPLES * seconds / len(texts)
        yield Row(stage, "three epochs of SST-2", epochs, "s", "at this speed, without compilation")
