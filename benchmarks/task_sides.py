"""The sides that task_speed.py compares: what each of them does in a round of work.

`make_side` gives who a side is, and a function that does the work once. Whatever a side needs is
imported in its own process.
"""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro

LABELS = ("bad", "good")
LEARNING_RATE, WEIGHT_DECAY, EPS = 5e-5, 0.01, 1e-6
OURS, ONE_LENGTH, THEIRS = "bert_jax", "bert_jax, one length", "transformers"

Round = Callable[[], tuple[float, Any]]
"""Does the work once: seconds, and what came out."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    what: Annotated[Literal["predict", "finetune"], tyro.conf.Positional]
    """Prediction, or training."""
    model: Literal["nano", "mini", "base"] = "mini"
    """The model's size; mini has 4 layers of 256."""
    texts: str | None = None
    """A file with a text a line; None makes texts up: 25 words on average, 200 at most."""
    num_texts: int = 512
    """Texts in a round: the first ones of the file."""
    rounds: int = 5
    """Rounds, in which every side has its turn."""
    batch_size: int = 32
    """Texts in a batch B."""
    max_length: int = 256
    """Longer texts are cut to so many tokens."""
    dropout: float = 0.1
    """Dropout on hidden values and attention probabilities, in training."""
    unroll: bool = False
    """Unroll our loop over layers, in training."""


def make_side(name: str, options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """Who a side is, and what it does in a round."""
    if name == THEIRS:
        make = {"predict": predict_theirs, "finetune": finetune_theirs}[options.what]
        return make(options, folder, texts)
    make = {"predict": predict_ours, "finetune": finetune_ours}[options.what]
    return make(options, folder, texts, name == ONE_LENGTH)


# --- Prediction -----------------------------------------------------------------------------------


def predict_ours(
    options: Options, folder: str, texts: Sequence[str], one_length: bool
) -> tuple[str, Round]:
    """`bert_jax.load(folder).predict(texts)`."""
    import bert_jax
    from bert_jax.data.batching import packed_batches
    from bert_jax.data.tokenizer import Tokenizer

    model = bert_jax.load(folder)
    rows = encode(options, texts, model.tokenizer)
    if one_length:
        pad_to_longest(rows)
    batches = [batch for _, batch in packed_batches(rows, options.batch_size, 512, 0)]

    def predict() -> tuple[float, Any]:
        model.tokenizer = Tokenizer(model.tokenizer.vocab, model.tokenizer.casing)
        model.tokenizer.encode("")  # makes the word cache, without any words
        start = time.perf_counter()
        found = model.predict(texts, options.batch_size)
        seconds = time.perf_counter() - start
        probabilities = [list(said["probabilities"].values()) for said in found]
        return seconds, ([said["label"] for said in found], np.array(probabilities))

    return about_jax(batches), predict


def predict_theirs(options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """`BertForSequenceClassification` on texts sorted by length."""
    import torch
    import transformers

    torch.set_num_threads(num_cores())
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
                numbers = order[first : first + options.batch_size]
                rows = [torch.tensor(ids[i]) for i in numbers]
                tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
                sizes = torch.tensor([len(row) for row in rows])
                mask = torch.arange(tokens.shape[1])[None] < sizes[:, None]
                logits = model(input_ids=tokens, attention_mask=mask.long()).logits
                probabilities[numbers] = logits.softmax(-1)
        labels = [model.config.id2label[i] for i in probabilities.argmax(-1).tolist()]
        return time.perf_counter() - start, (labels, probabilities.numpy())

    return about_torch(model), predict


# --- Fine-tuning ----------------------------------------------------------------------------------


def finetune_ours(
    options: Options, folder: str, texts: Sequence[str], one_length: bool
) -> tuple[str, Round]:
    """The step of `finetune.py` on its batches."""
    import jax

    from bert_jax.config import OptimizerConfig
    from bert_jax.interop.huggingface import read_directory
    from bert_jax.models.architectures import architecture
    from bert_jax.models.functional import build
    from bert_jax.nn.compute import Compute
    from bert_jax.tasks.classification import Classification
    from bert_jax.tasks.task import make_objective
    from bert_jax.training.optimizers import make_optimizer
    from bert_jax.training.parallel import DataParallel
    from bert_jax.training.step import init_state, make_train_step

    saved = read_directory(folder)
    rows = encode(options, texts, saved.tokenizer)
    if one_length:
        pad_to_longest(rows)
    steps = sum(1 for _ in epoch_batches(options, rows))
    bind = build(saved.config, architecture(saved.architecture, len(LABELS)))[1]
    objective = make_objective(Classification(LABELS), bind, Compute(unroll=options.unroll))
    rates = OptimizerConfig(
        learning_rate=LEARNING_RATE, warmup_steps=0, weight_decay=WEIGHT_DECAY, eps=EPS
    )
    optimizer, _ = make_optimizer(rates, steps * (options.rounds + 1))
    parallel = DataParallel()
    step = parallel.spread(make_train_step(objective, optimizer, jax.random.key(0)))
    state = parallel.put_state(init_state(saved.params, optimizer))

    def epoch() -> tuple[float, Any]:
        nonlocal state
        start = time.perf_counter()
        losses: list[Any] = []
        for batch in epoch_batches(options, rows):
            state, metrics = step(state, parallel.put_batch(batch))
            losses.append(metrics["loss"][0])
            parallel.get(losses[max(0, len(losses) - 2)])  # at most two steps are under way
        mean = float(np.mean([parallel.get(loss) for loss in losses]))
        return time.perf_counter() - start, mean

    return about_jax(list(epoch_batches(options, rows))), epoch


def finetune_theirs(options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """What `transformers.Trainer` does in a step, without the Trainer."""
    import torch
    import transformers

    from bert_jax.data.tokenizer import Tokenizer

    torch.set_num_threads(num_cores())
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.BertForSequenceClassification.from_pretrained(folder).train()
    rows = encode(options, texts, Tokenizer.load(folder))
    steps = sum(1 for _ in epoch_batches(options, rows))
    groups: list[dict[str, Any]] = [{"params": [], "weight_decay": w} for w in (0, WEIGHT_DECAY)]
    for name, parameter in model.named_parameters():
        decays = not name.endswith("bias") and "LayerNorm" not in name
        groups[decays]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, eps=EPS, fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, 0, steps * (options.rounds + 1)
    )

    def epoch() -> tuple[float, Any]:
        start = time.perf_counter()
        losses = []
        for batch in epoch_batches(options, rows):
            sizes = torch.from_numpy(batch["lengths"][:, 0, 0])
            there, longest = int((sizes > 0).sum()), int(sizes.max())
            tokens = torch.from_numpy(batch["tokens"])[:there, :longest].long()
            mask = (torch.arange(longest)[None] < sizes[:there, None]).long()
            labels = torch.from_numpy(batch["label"])[:there].long()
            loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        return time.perf_counter() - start, float(torch.stack(losses).mean())

    return about_torch(model), epoch


# --- Small things ---------------------------------------------------------------------------------


def encode(options: Options, texts: Sequence[str], tokenizer: Any) -> list[Any]:
    """Rows of the texts, with labels in turns."""
    from bert_jax.tasks.classification import Classification
    from bert_jax.tasks.texts import TextExample

    labels = itertools.cycle(LABELS)
    examples = [
        TextExample("", text, None, label) for text, label in zip(texts, labels, strict=False)
    ]
    return Classification(LABELS).encode(examples, tokenizer, options.max_length)


def pad_to_longest(rows: Sequence[Any]) -> None:
    """Leaves one bucket in this process, which holds the longest row, and packs nothing."""
    from bert_jax.data import batching

    longest = max(len(row.tokens) for row in rows)
    setattr(batching, "BUCKETS", (longest,))  # noqa: B010
    setattr(batching, "PACKED_LENGTH", longest)  # noqa: B010
    setattr(batching, "PACKED_TEXTS", 1)  # noqa: B010


def epoch_batches(options: Options, rows: Sequence[Any]) -> Iterator[dict[str, np.ndarray]]:
    """The same epoch in every round, and so the same shapes."""
    from bert_jax.data.batching import steps_per_epoch, train_batches

    batches = train_batches(rows, options.batch_size, options.max_length, 0, seed=0)
    return itertools.islice(batches, steps_per_epoch(len(rows), options.batch_size))


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def about_jax(batches: Sequence[dict[str, np.ndarray]]) -> str:
    """Versions, and how full batches are."""
    import jax

    shapes = {batch["tokens"].shape for batch in batches}
    full = sum(b["lengths"].sum() for b in batches) / sum(b["tokens"].size for b in batches)
    return f"jax {jax.__version__}, {len(shapes)} shapes of batches, {full:.0%} full"


def about_torch(model: Any) -> str:
    """Versions, attention and threads."""
    import torch
    import transformers

    attention = model.config._attn_implementation
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    return f"{versions}, {attention} attention, {torch.get_num_threads()} threads"
