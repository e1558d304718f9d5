"""The sides that task_speed.py compares: what each of them does in a round of work.

`make_side` gives who a side is, and a function that does the work once. Whatever a side needs is
imported in its own process.
"""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro

LABELS = ("bad", "good")
LEARNING_RATE, WEIGHT_DECAY, EPS = 5e-5, 0.01, 1e-6
OURS, ONE_LENGTH = "bert_jax", "bert_jax, one length"
THEIRS, THEIRS_BY_CHANCE = "transformers", "transformers, by chance"

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


def make_side(name: str, options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """Who a side is, and what it does in a round."""
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
    """`bert_jax.load(folder).predict(texts)`."""
    import bert_jax
    from bert_jax.data.batching import Packing, packed_batches
    from bert_jax.data.tokenizer import Tokenizer

    model = bert_jax.load(folder)
    encoded = encode(options, texts, model.tokenizer)
    if one_length:
        pad_to_longest(encoded)
    batches = [b for _, b in packed_batches(encoded, options.batch_size, Packing(512, 0))]

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
    from finetune import SHALLOW

    saved = read_directory(folder)
    encoded = encode(options, texts, saved.tokenizer)
    if one_length:
        pad_to_longest(encoded)
    batches = epoch_batches(options, encoded)
    is_shallow = saved.config.num_hidden_layers <= SHALLOW
    bind = build(saved.config, architecture(saved.architecture, len(LABELS)))[1]
    objective = make_objective(Classification(LABELS), bind, Compute(unroll=is_shallow))
    rates = OptimizerConfig(
        learning_rate=LEARNING_RATE, warmup_steps=0, weight_decay=WEIGHT_DECAY, eps=EPS
    )
    optimizer, _ = make_optimizer(rates, len(batches) * (options.rounds + 1))
    parallel = DataParallel()
    step = parallel.spread(make_train_step(objective, optimizer))
    state = parallel.put_state(init_state(saved.params, optimizer, jax.random.key(0)))

    def epoch() -> tuple[float, Any]:
        nonlocal state
        start = time.perf_counter()
        losses: list[Any] = []
        for batch in epoch_batches(options, encoded):
            state, metrics = step(state, parallel.put_batch(batch))
            losses.append(metrics["loss"][0])
            parallel.get(losses[max(0, len(losses) - 2)])  # at most two steps are under way
        mean = float(np.mean([parallel.get(loss) for loss in losses]))
        return time.perf_counter() - start, mean

    return about_jax(batches), epoch


def finetune_theirs(
    options: Options, folder: str, texts: Sequence[str], by_length: bool
) -> tuple[str, Round]:
    """What `transformers.Trainer` does in a step, without the Trainer.

    The first round has our batches, so that losses can be compared; the others have its own.
    """
    import torch
    import transformers

    from bert_jax.data.tokenizer import Tokenizer

    torch.set_num_threads(num_cores())
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.BertForSequenceClassification.from_pretrained(folder).train()
    encoded = encode(options, texts, Tokenizer.load(folder))
    ours = [texts_of(batch) for batch in epoch_batches(options, encoded)]
    its_own = trainer_batches(options, encoded, by_length)
    rounds = itertools.chain([ours], itertools.repeat(its_own))
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

    sizes = [[len(tokens) for tokens, _ in batch] for batch in its_own]
    full = sum(map(sum, sizes)) / sum(max(batch) * len(batch) for batch in sizes)
    return f"{about_torch(model)}, batches {full:.0%} full", epoch


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


def pad_to_longest(encoded: Sequence[Any]) -> None:
    """Leaves rows of one length in this process, which hold the longest text, and no other."""
    from bert_jax.data import batching

    longest = max(len(text.tokens) for text in encoded)
    setattr(batching, "BUCKETS", (longest,))  # noqa: B010
    setattr(batching, "PACKED_LENGTH", longest)  # noqa: B010
    setattr(batching, "TOKENS_PER_TEXT", longest)  # noqa: B010


def epoch_batches(options: Options, encoded: Sequence[Any]) -> list[dict[str, np.ndarray]]:
    """The same epoch in every round, and so the same shapes."""
    from bert_jax.data.batching import Packing, steps_per_epoch, train_batches

    batches = train_batches(encoded, options.batch_size, Packing(options.max_length, 0), seed=0)
    return list(itertools.islice(batches, steps_per_epoch(len(encoded), options.batch_size)))


def texts_of(batch: dict[str, np.ndarray]) -> list[tuple[list[int], int]]:
    """Tokens and label of each text in one of our batches."""
    found, all_sizes = [], batch["lengths"].sum(-1)
    for tokens, sizes, labels in zip(batch["tokens"], all_sizes, batch["label"], strict=True):
        parts = zip(np.split(tokens, np.cumsum(sizes)), labels, strict=False)
        found += [(part.tolist(), int(label)) for part, label in parts if len(part)]
    return found


def trainer_batches(
    options: Options, encoded: Sequence[Any], by_length: bool
) -> list[list[tuple[list[int], int]]]:
    """Batches by chance, or, as `group_by_length` has it, of texts sorted among 50 batches."""
    texts = [(text.tokens, text.targets["label"]) for text in encoded]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(texts)).tolist()
    size = options.batch_size
    if by_length:
        together = [order[i : i + 50 * size] for i in range(0, len(order), 50 * size)]
        order = [i for part in together for i in sorted(part, key=lambda i: -len(texts[i][0]))]
    return [[texts[i] for i in order[start : start + size]] for start in range(0, len(order), size)]


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
