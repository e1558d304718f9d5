"""Predicting with a text classifier, or fine-tuning it, against PyTorch, in the same run.

    python benchmarks/task_speed.py predict                      # mini, made-up texts
    python benchmarks/task_speed.py finetune --model base --texts reviews.txt

Texts per second in float32 of three sides: ours; ours with every text padded to the longest one,
neither packed nor in buckets; and `transformers` on PyTorch, eager, with its
scaled_dot_product_attention. All open the same directory, with random weights, in processes of
their own, on all cores, and take turns.

predict: from texts to labels and probabilities. Our word cache starts empty in every round.
`transformers` has its fast tokenizer, `inference_mode`, texts sorted by length, and each batch is
padded to its own longest text. Labels must be the same, and probabilities to 1e-4.

finetune: an epoch a round: batches, forward, backward, clipping, AdamW. Batches are those of
`finetune.py`, sorted by length among 50 and shuffled; `transformers` takes the same ones, without
the columns that are padding in every row. With `--dropout 0` the losses are the same, too.

Compilation and other warm-up is shown apart.
"""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Annotated, Any, Literal

import numpy as np
import tyro

SHAPES = {  # layers, width, heads, vocabulary
    "nano": (2, 32, 2, 300),
    "mini": (4, 256, 4, 8192),
    "base": (12, 768, 12, 30522),
}
LABELS = ("bad", "good")
TOLERANCE = 1e-4
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


def main(options: Options) -> None:
    """Lets all sides work in turns, and prints what they took."""
    with tempfile.TemporaryDirectory() as folder:
        texts = write_model(options, folder)
        layers, width, _, _ = SHAPES[options.model]
        print(f"{options.what}, {options.model} ({layers} layers of {width}), float32, ", end="")
        print(f"{len(texts):,} texts in batches of {options.batch_size}, {options.rounds} rounds")
        sides = {name: Side(name, options, folder, texts) for name in (OURS, ONE_LENGTH, THEIRS)}
        for side in sides.values():
            print(f"  {side.name}: {side.about}; first round {side.warm_up:.1f} s")
        for _ in range(options.rounds):
            for side in sides.values():
                side.run()
    for side in sides.values():
        speeds = [len(texts) / seconds for seconds in side.seconds]
        print(f"  {side.name:22} {spread(speeds, '8,.1f')} texts/s")
    for name in (ONE_LENGTH, THEIRS):
        pairs = zip(sides[name].seconds, sides[OURS].seconds, strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        print(f"  ours is {spread(ratios, '.2f')} times as fast as {name}")
    results = {name: side.result for name, side in sides.items()}
    if options.what == "predict":
        for name in (ONE_LENGTH, THEIRS):
            print(f"  {agreement(results[OURS], results[name])} of {name}")
    else:
        print("  mean losses of the last round:", ", ".join(f"{x:.5f}" for x in results.values()))


# --- What both tasks need -------------------------------------------------------------------------


def make_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of made-up words: log-normal lengths, frequencies by Zipf's law."""
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(5000)]
    weights = 1 / np.arange(1, len(words) + 1)
    mean, deviation = 25, 0.7
    sizes = rng.lognormal(np.log(mean) - deviation**2 / 2, deviation, count)
    sizes = np.clip(sizes.round().astype(int), 1, 200)
    return [" ".join(rng.choice(words, n, p=weights / weights.sum())) + "." for n in sizes]


def write_model(options: Options, folder: str) -> list[str]:
    """Writes a classifier with random weights; returns the texts."""
    import jax

    from bert_jax.config import BertConfig
    from bert_jax.data.tokenizer import Casing, Tokenizer
    from bert_jax.data.vocabulary import train_vocab
    from bert_jax.interop.huggingface import Exported, write_directory
    from bert_jax.models.architectures import architecture
    from bert_jax.models.functional import build

    texts = make_texts(options.num_texts)
    if options.texts is not None:
        with open(options.texts, encoding="utf-8") as file:
            lines = filter(None, map(str.strip, file))
            texts = list(itertools.islice(lines, options.num_texts))
    layers, width, heads, vocab_size = SHAPES[options.model]
    casing = Casing(lowercase=True, strip_accents=False)
    tokenizer = Tokenizer(train_vocab(lambda: iter(texts), vocab_size, casing), casing)
    config = BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=512,
        vocab_size=vocab_size,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=options.dropout,
        initializer_range=0.05,  # so that the classes differ
    )
    name = "BertForSequenceClassification"
    params = jax.jit(build(config, architecture(name, len(LABELS)))[0])(jax.random.key(0))
    about = {"kind": "classification", "max_length": options.max_length}
    write_directory(folder, Exported(config, name, params, tokenizer, LABELS, None, about))
    return texts


class Side:
    """A side's process, and what it measured."""

    def __init__(self, name: str, options: Options, folder: str, texts: Sequence[str]):
        spawn = multiprocessing.get_context("spawn")  # JAX has threads, which do not fork
        self.name = name
        self._pipe, other_end = spawn.Pipe()
        arguments = (other_end, name, options, folder, texts)
        spawn.Process(target=work, args=arguments, daemon=True).start()
        other_end.close()
        self.about, (self.warm_up, self.result) = self._pipe.recv()
        self.seconds: list[float] = []

    def run(self) -> None:
        """Runs a round."""
        self._pipe.send("a round, please")
        seconds, self.result = self._pipe.recv()
        self.seconds.append(seconds)


def work(pipe: Connection, name: str, options: Options, folder: str, texts: Sequence[str]) -> None:
    """A side's process: a first round to warm up, then one whenever it is asked for."""
    about, run_round = make_side(name, options, folder, texts)
    pipe.send((about, run_round()))
    with contextlib.suppress(EOFError):  # the other end is closed: no more rounds
        while pipe.recv():
            pipe.send(run_round())


def make_side(name: str, options: Options, folder: str, texts: Sequence[str]) -> tuple[str, Round]:
    """Who a side is, and what it does in a round."""
    if name == THEIRS:
        make = {"predict": predict_theirs, "finetune": finetune_theirs}[options.what]
        return make(options, folder, texts)
    make = {"predict": predict_ours, "finetune": finetune_ours}[options.what]
    return make(options, folder, texts, name == ONE_LENGTH)


def spread(values: Sequence[float], form: str) -> str:
    """The median, and from where to where values reach."""
    median, low, high = (f(values) for f in (statistics.median, min, max))
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


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


def agreement(ours: Any, theirs: Any) -> str:
    """How many labels are the same, and how far probabilities are apart."""
    same = sum(a == b for a, b in zip(ours[0], theirs[0], strict=True))
    gap = float(np.abs(ours[1] - theirs[1]).max())
    if gap > TOLERANCE:
        raise SystemExit(f"probabilities differ by {gap:.1e}, expected at most {TOLERANCE}")
    return f"{same:,} of {len(ours[0]):,} labels and, to {gap:.0e}, all probabilities are those"


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

    setattr(batching, "BUCKETS", (max(len(row.tokens) for row in rows),))  # noqa: B010
    setattr(batching, "PACKED_LENGTH", 0)  # noqa: B010


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


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
