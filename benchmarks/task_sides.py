"""The sides that task_speed.py compares: one round of work for each of them.

`make_side` returns a side's description, and a function that does the work once. Each side imports
what it needs in its own process.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from bert_jax.corpus.workers import count_cores
from task_versions import about_jax, about_torch

LABELS = ("bad", "good")
LEARNING_RATE, WEIGHT_DECAY, EPS = 5e-5, 0.01, 1e-6
OURS, ONE_LENGTH = "bert_jax", "bert_jax, one length"
THEIRS, THEIRS_AT_RANDOM = "transformers", "transformers, at random"

Round = Callable[[], tuple[float, Any]]
"""A function that does the work once and returns the seconds it took, and its result."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    what: Annotated[Literal["predict", "finetune"], tyro.conf.Positional]
    """Prediction, or training."""
    model: Literal["nano", "mini", "base"] = "mini"
    """Size of the model; mini has 4 layers of width 256."""
    texts: str | None = None
    """A file with one text per line; None generates texts of 25 words on average, at most 200."""
    num_texts: int = 512
    """Texts in a round: the first of the file."""
    rounds: int = 5
    """Rounds; every side has one turn in each."""
    batch_size: int = 32
    """Texts in a batch B."""
    max_length: int = 256
    """Longest text in tokens; longer ones are truncated."""
    dropout: float = 0.1
    """Dropout on hidden values and attention probabilities, in training."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of our matrix products."""


def make_side(name: str, options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """Return the description of a side, and its round of work."""
    if name in (OURS, ONE_LENGTH):
        make = {"predict": predict_ours, "finetune": finetune_ours}[options.what]
        return make(options, folder, texts, name == ONE_LENGTH)
    if options.what == "predict":
        return predict_theirs(options, folder, texts)
    return finetune_theirs(options, folder, texts, name == THEIRS)


# --- Prediction -----------------------------------------------------------------------------------


def predict_ours(
    options: Options, folder: str, texts: Sequence[str], one_length: bool
) -> tuple[str, Round]:
    """Predict by `bert_jax.load(folder).predict(texts)`."""
    import bert_jax
    from bert_jax.labelled.batching import Packing
    from bert_jax.labelled.packed import packed_batches
    from bert_jax.tokenizer.tokenizer import Tokenizer

    model = bert_jax.load(folder, dtype=options.dtype)
    encoded = encode(options, texts, model.tokenizer)
    if one_length:
        pad_to_longest(encoded)
    batches = [b for _, b in packed_batches(encoded, options.batch_size, Packing(512, 0))]

    def predict() -> tuple[float, Any]:
        model.tokenizer = Tokenizer(model.tokenizer.vocab, model.tokenizer.casing)
        model.tokenizer.encode("")  # builds an empty word cache
        start = time.perf_counter()
        predictions = model.predict(texts, options.batch_size)
        seconds = time.perf_counter() - start
        probabilities = [list(p["probabilities"].values()) for p in predictions]
        return seconds, ([p["label"] for p in predictions], np.array(probabilities))

    return about_jax(batches), predict


def predict_theirs(options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """Predict by `BertForSequenceClassification` on texts sorted by length."""
    import torch
    import transformers

    torch.set_num_threads(count_cores())
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.BertForSequenceClassification.from_pretrained(folder).eval()

    def predict() -> tuple[float, Any]:
        start = time.perf_counter()
        encoded = tokenizer(list(texts), truncation=True, max_length=options.max_length)
        ids = encoded["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        probabilities = torch.empty(len(ids), len(LABELS))
        with torch.inference_mode():
            for first in range(0, len(ids), options.batch_size):
                indices = order[first : first + options.batch_size]
                rows = [torch.tensor(ids[i]) for i in indices]
                tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
                sizes = torch.tensor([len(row) for row in rows])
                mask = torch.arange(tokens.shape[1])[None] < sizes[:, None]
                logits = model(input_ids=tokens, attention_mask=mask.long()).logits
                probabilities[indices] = logits.softmax(-1)
        labels = [model.config.id2label[i] for i in probabilities.argmax(-1).tolist()]
        return time.perf_counter() - start, (labels, probabilities.numpy())

    return about_torch(model), predict


# --- Fine-tuning ----------------------------------------------------------------------------------


def finetune_ours(
    options: Options, folder: str, texts: Sequence[str], one_length: bool
) -> tuple[str, Round]:
    """Train by the step of `finetune.py`, on its batches."""
    import jax

    from bert_jax.config import OptimizerConfig
    from bert_jax.interop.huggingface import read_directory
    from bert_jax.models.architectures import architecture
    from bert_jax.models.functional import build
    from bert_jax.nn.execution import choose_execution, device_platform
    from bert_jax.tasks.classification import Classification
    from bert_jax.tasks.finetuning_programs import MAX_UNROLLED_LAYERS
    from bert_jax.tasks.task import make_finetuning_objective
    from bert_jax.training.numerics import set_numerics
    from bert_jax.training.optimizers import make_optimizer
    from bert_jax.training.parallel import DataParallel
    from bert_jax.training.step import init_state, make_train_step

    set_numerics(options.dtype)
    saved = read_directory(folder)
    encoded = encode(options, texts, saved.tokenizer)
    if one_length:
        pad_to_longest(encoded)
    batches = epoch_batches(options, encoded)
    execution = choose_execution(
        "auto",
        platform=device_platform(),
        dtype=options.dtype,
        dropout_rate=saved.config.attention_dropout_rate,
        unroll=saved.config.num_hidden_layers <= MAX_UNROLLED_LAYERS,
    )
    merge = build(saved.config, architecture(saved.architecture, len(LABELS)))[1]
    objective = make_finetuning_objective(Classification(LABELS), merge, execution)
    rates = OptimizerConfig(
        learning_rate=LEARNING_RATE, warmup_steps=0, weight_decay=WEIGHT_DECAY, eps=EPS
    )
    optimizer, _ = make_optimizer(rates, len(batches) * (options.rounds + 1))
    parallel = DataParallel(num_devices=1)  # as many as `Packing` makes rows for
    step = parallel.shard(make_train_step(objective, optimizer))
    state = parallel.put_state(init_state(saved.params, optimizer, jax.random.key(0)))

    def epoch() -> tuple[float, Any]:
        nonlocal state
        start = time.perf_counter()
        results: list[Any] = []
        for batch in epoch_batches(options, encoded):
            state, metrics = step(state, parallel.put_batch(batch))
            results.append(metrics)
            jax.block_until_ready(results[max(0, len(results) - 2)])  # at most two steps in flight
        mean = float(np.mean([metrics["loss"][0] for metrics in parallel.get(results)]))
        return time.perf_counter() - start, mean

    return about_jax(batches), epoch


def finetune_theirs(
    options: Options, folder: str, texts: Sequence[str], by_length: bool
) -> tuple[str, Round]:
    """Train by the step of `transformers.Trainer`, without the Trainer.

    The first round has our batches, so that losses can be compared; later ones have the Trainer's.
    """
    import torch
    import transformers

    from bert_jax.tokenizer.tokenizer import Tokenizer

    torch.set_num_threads(count_cores())
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.BertForSequenceClassification.from_pretrained(folder).train()
    encoded = encode(options, texts, Tokenizer.load(folder))
    ours = [texts_of(batch) for batch in epoch_batches(options, encoded)]
    theirs = trainer_batches(options, encoded, by_length)
    rounds = itertools.chain([ours], itertools.repeat(theirs))
    groups: list[dict[str, Any]] = [{"params": [], "weight_decay": w} for w in (0, WEIGHT_DECAY)]
    for name, parameter in model.named_parameters():
        decays = not name.endswith("bias") and "LayerNorm" not in name
        groups[decays]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, eps=EPS, fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, 0, len(ours) * (options.rounds + 1)
    )

    def epoch() -> tuple[float, Any]:
        start = time.perf_counter()
        losses = []
        for batch in next(rounds):
            rows = [torch.tensor(tokens) for tokens, _ in batch]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            sizes = torch.tensor([len(row) for row in rows])
            mask = (torch.arange(tokens.shape[1])[None] < sizes[:, None]).long()
            labels = torch.tensor([label for _, label in batch])
            loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        return time.perf_counter() - start, float(torch.stack(losses).mean())

    sizes = [[len(tokens) for tokens, _ in batch] for batch in theirs]
    full = sum(map(sum, sizes)) / sum(max(batch) * len(batch) for batch in sizes)
    return f"{about_torch(model)}, batches {full:.0%} full", epoch


# --- Batches and descriptions ---------------------------------------------------------------------


def encode(options: Options, texts: Sequence[str], tokenizer: Any) -> list[Any]:
    """Encode the texts, with labels in turns."""
    from bert_jax.labelled.texts import TextExample
    from bert_jax.tasks.classification import Classification

    labels = itertools.cycle(LABELS)
    examples = [
        TextExample("", text, None, label) for text, label in zip(texts, labels, strict=False)
    ]
    return Classification(LABELS).encode(examples, tokenizer, options.max_length)


def pad_to_longest(encoded: Sequence[Any]) -> None:
    """Make all rows in this process as long as the longest text, with one text per row."""
    from bert_jax.labelled import batching, packed

    longest = max(len(text.tokens) for text in encoded)
    vars(batching)["BUCKETS"] = (longest,)
    for module in (batching, packed):
        vars(module).update(PACKED_LENGTH=longest, MIN_TOKENS_PER_SLOT=longest)


def epoch_batches(options: Options, encoded: Sequence[Any]) -> list[dict[str, np.ndarray]]:
    """Return one epoch, the same in every round and so of the same shapes."""
    from bert_jax.labelled.batching import Packing, finetuning_batches, steps_per_epoch

    batches = finetuning_batches(
        encoded, options.batch_size, Packing(options.max_length, 0), seed=0
    )
    return list(itertools.islice(batches, steps_per_epoch(len(encoded), options.batch_size)))


def texts_of(batch: dict[str, np.ndarray]) -> list[tuple[list[int], int]]:
    """Return tokens and label of each text in one of our batches."""
    texts, all_sizes = [], batch["lengths"].sum(-1)
    for tokens, sizes, labels in zip(batch["tokens"], all_sizes, batch["label"], strict=True):
        parts = zip(np.split(tokens, np.cumsum(sizes)), labels, strict=False)
        texts += [(part.tolist(), int(label)) for part, label in parts if len(part)]
    return texts


def trainer_batches(
    options: Options, encoded: Sequence[Any], by_length: bool
) -> list[list[tuple[list[int], int]]]:
    """Return random batches or, as with `group_by_length`, texts sorted within 50 batches."""
    texts = [(text.tokens, text.targets["label"]) for text in encoded]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(texts)).tolist()
    size = options.batch_size
    if by_length:
        windows = [order[i : i + 50 * size] for i in range(0, len(order), 50 * size)]
        order = [i for window in windows for i in sorted(window, key=lambda i: -len(texts[i][0]))]
    return [[texts[i] for i in order[start : start + size]] for start in range(0, len(order), size)]
