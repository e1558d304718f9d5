"""Speed of prediction and fine-tuning of a text classifier, against PyTorch in the same run.

    python benchmarks/task_speed.py predict                      # mini, generated texts
    python benchmarks/task_speed.py finetune --model base --texts reviews.txt

Measures texts per second in float32 of these sides: ours; ours with every text padded to the
longest one, neither packed nor in buckets; and `transformers` on PyTorch, eager, with its
scaled_dot_product_attention. All open the same directory, with random weights, in processes of
their own, on all cores, and take turns.

predict: from texts to labels and probabilities. Our word cache is empty at the start of every
round. `transformers` has its fast tokenizer, `inference_mode`, texts sorted by length, and each
batch is padded to its own longest text. Labels must be equal, and probabilities within 1e-4.

finetune: one epoch per round: batches, forward, backward, clipping, AdamW. Our batches are those of
`finetune.py`. `transformers` pads each batch to its own longest text, and runs twice: with texts of
similar length in a batch (`group_by_length` of its Trainer), and at random, the Trainer's default.
In the first round all sides have the same texts in a batch: with `--dropout 0`, losses are equal.

Warm-up, including compilation, is printed separately. On a virtual machine, a round is repeated
while the host takes processor time away.
"""

import contextlib
import itertools
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import tyro

from quiet import time_quietly
from task_sides import (
    LABELS,
    ONE_LENGTH,
    OURS,
    THEIRS,
    THEIRS_AT_RANDOM,
    Options,
    make_side,
)

SHAPES = {  # layers, width, heads, vocabulary
    "nano": (2, 32, 2, 300),
    "mini": (4, 256, 4, 8192),
    "base": (12, 768, 12, 30522),
}
TOLERANCE = 1e-4


def main(options: Options) -> None:
    """Let all sides work in turns, and print their speeds."""
    with tempfile.TemporaryDirectory() as folder:
        texts = write_model(options, folder)
        layers, width, _, _ = SHAPES[options.model]
        print(f"{options.what}, {options.model} ({layers} layers of {width}), float32, ", end="")
        print(f"{len(texts):,} texts in batches of {options.batch_size}, {options.rounds} rounds")
        others = (ONE_LENGTH, THEIRS)
        if options.what == "finetune":
            others = (*others, THEIRS_AT_RANDOM)
        sides = {name: Side(name, options, folder, texts) for name in (OURS, *others)}
        for side in sides.values():
            print(f"  {side.name}: {side.about}; first round {side.warm_up:.1f} s")
        for _ in range(options.rounds):
            for side in sides.values():
                side.run_quietly()
    for side in sides.values():
        speeds = [len(texts) / seconds for seconds in side.seconds]
        print(f"  {side.name:23} {median_and_range(speeds, '8,.1f')} texts/s{side.disturbed}")
    for name in others:
        pairs = zip(sides[name].seconds, sides[OURS].seconds, strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        print(f"  ours is {median_and_range(ratios, '.2f')} times as fast as {name}")
    results = {name: side.result for name, side in sides.items()}
    if options.what == "predict":
        for name in others:
            print(f"  {name}: {agreement(results[OURS], results[name])}")
    else:
        print("  mean losses of the first epoch:", ", ".join(f"{x:.5f}" for x in results.values()))


def make_texts(
    count: int, seed: int = 0, mean: float = 25, deviation: float = 0.7, longest: int = 200
) -> list[str]:
    """Generate texts of random words, with log-normal lengths and frequencies by Zipf's law.

    Args:
        count: number of texts.
        seed: of words and texts.
        mean: words of a text, on average.
        deviation: standard deviation of the logarithm of that number.
        longest: most words of a text.
    """
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(5000)]
    weights = 1 / np.arange(1, len(words) + 1)
    sizes = rng.lognormal(np.log(mean) - deviation**2 / 2, deviation, count)
    sizes = np.clip(sizes.round().astype(int), 1, longest)
    return [" ".join(rng.choice(words, n, p=weights / weights.sum())) + "." for n in sizes]


def write_model(options: Options, folder: str) -> list[str]:
    """Write a classifier with random weights; return the texts."""
    import jax

    from bert_jax.config import BertConfig
    from bert_jax.interop.huggingface import PretrainedModel, write_directory
    from bert_jax.models.architectures import architecture
    from bert_jax.models.functional import build
    from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
    from bert_jax.tokenizer.vocabulary import train_vocab

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
        initializer_range=0.05,  # large enough that predictions differ
    )
    name = "BertForSequenceClassification"
    params = jax.jit(build(config, architecture(name, len(LABELS)))[0])(jax.random.key(0))
    about = {"kind": "classification", "max_length": options.max_length}
    write_directory(folder, PretrainedModel(config, name, params, tokenizer, LABELS, None, about))
    return texts


class Side:
    """A side's process, with its measurements."""

    def __init__(self, name: str, options: Options, folder: str, texts: Sequence[str]):
        spawn = multiprocessing.get_context("spawn")  # JAX has threads, which do not fork
        self.name = name
        self._pipe, other_end = spawn.Pipe()
        arguments = (other_end, name, options, folder, texts)
        spawn.Process(target=work, args=arguments, daemon=True).start()
        other_end.close()
        self.about, (self.warm_up, self.result) = self._pipe.recv()
        self.seconds: list[float] = []
        self.disturbed = ""

    def run_quietly(self) -> None:
        """Run a round; repeat it while the machine's host disturbs it."""
        seconds, quiet = time_quietly(self._run)
        self.seconds.append(seconds)
        self.disturbed += "" if quiet else f"; the host disturbed round {len(self.seconds)}"

    def _run(self) -> float:
        self._pipe.send("round")
        return self._pipe.recv()


def work(pipe: Connection, name: str, options: Options, folder: str, texts: Sequence[str]) -> None:
    """Run a side's process: a first round to warm up, then one for each request."""
    about, run_round = make_side(name, options, folder, texts)
    pipe.send((about, run_round()))
    with contextlib.suppress(EOFError):  # the other end is closed: no more rounds
        while pipe.recv():
            pipe.send(run_round()[0])


def median_and_range(values: Sequence[float], format: str) -> str:
    """Format the median, the smallest and the largest value."""
    median, low, high = (f(values) for f in (statistics.median, min, max))
    return f"{median:{format}} ({low:{format}} to {high:{format}})"


def agreement(ours: Any, theirs: Any) -> str:
    """Describe how many labels are equal; exit if probabilities differ by more than TOLERANCE."""
    same = sum(a == b for a, b in zip(ours[0], theirs[0], strict=True))
    gap = float(np.abs(ours[1] - theirs[1]).max())
    if gap > TOLERANCE:
        raise SystemExit(f"probabilities differ by {gap:.1e}, expected at most {TOLERANCE}")
    return f"{same:,} of {len(ours[0]):,} labels equal, probabilities within {gap:.0e}"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
