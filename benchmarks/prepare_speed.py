"""Text → packed rows, against `tokenizers` alone on the same text, in the same run.

    python benchmarks/prepare_speed.py TEXT --vocab vocab.txt --lowercase

Prints MB/s on one core and on all, the ratio between the two, and what each stage costs.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bert_jax.data import build
from bert_jax.data.build import Job, build_shards
from bert_jax.data.bundles import BundleOptions, Corpus
from bert_jax.data.cleaning import Findings
from bert_jax.data.rows import RowFormat
from bert_jax.data.sources import ReadOptions, Source, group_parts
from bert_jax.data.spread import build_locally, num_cores
from bert_jax.data.tokenizer import Casing, Tokenizer, read_vocab

ALONE = """
import sys, time
from pathlib import Path
from tokenizers import Tokenizer
fast = Tokenizer.from_file(sys.argv[1])
lines = [line for line in Path(sys.argv[2]).read_text(encoding="utf-8").split("\\n") if line]
start = time.perf_counter()
for at in range(0, len(lines), 1000):
    fast.encode_batch_fast(lines[at : at + 1000], add_special_tokens=False)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    text: Annotated[str, tyro.conf.Positional]
    """A text file: a paragraph a line, a blank line between documents."""
    vocab: str
    """A vocab.txt."""
    lowercase: bool = False
    """Lower-case the text."""
    length: int = 128
    """Tokens in a row T."""
    repeats: int = 3
    """The best of so many runs counts."""
    alone_mb: float = 8.0
    """Text for `tokenizers` alone, which is slower."""


def main(options: Options) -> None:
    """Measures and prints."""
    size = Path(options.text).stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer(read_vocab(Path(options.vocab)), Casing(options.lowercase))
        tokenizer.save(Path(folder) / "tokenizer")
        (Path(folder) / f"T{options.length}").mkdir()
        row_format = RowFormat(options.length, max(2, options.length // 32), tokenizer.vocab_size)
        job = Job(folder, tokenizer.sha256, (row_format,), 0, 0.1, 1, "split", "en")
        corpus = Corpus(
            group_parts([Source(options.text, size)]),
            ReadOptions(),
            BundleOptions(8 << 20, 0.01, 0),
        )
        cores = num_cores()
        print(f"{options.text}: {size / 1e6:.1f} MB, T={options.length}, {cores} cores\n")
        head = Path(folder) / "head.txt"
        copy_head(Path(options.text), head, int(options.alone_mb * 1e6))
        for workers in sorted({1, cores}):
            ours = min(seconds_of_ours(corpus, job, workers) for _ in range(options.repeats))
            alone = min(
                seconds_alone(folder, head, parallel=workers > 1) for _ in range(options.repeats)
            )
            speed, speed_alone = size / 1e6 / ours, head.stat().st_size / 1e6 / alone
            print(
                f"{workers} core(s): text → packed rows {speed:6.1f} MB/s | tokenizers alone "
                f"{speed_alone:5.1f} MB/s | ratio {speed / speed_alone:.1f}"
            )
        print("\nwhat bounds it (processor time; the word cache starts empty):")
        for stage, seconds in stages(corpus, job).items():
            print(f"  {stage:34s} {seconds / size * 1e9:6.1f} ms/MB")


def copy_head(text: Path, head: Path, size: int) -> None:
    """Writes the first lines of a text to a file."""
    with text.open("rb") as source:
        data = source.read(size)
    head.write_bytes(data[: data.rfind(b"\n") + 1])


def seconds_of_ours(corpus: Corpus, job: Job, workers: int) -> float:
    """Seconds from text to shards, reading and the start of processes included."""
    build._tokenizer.cache_clear()
    start = time.perf_counter()
    for _ in build_locally(corpus, job, Findings(), workers):
        pass
    return time.perf_counter() - start


def seconds_alone(folder: str, head: Path, parallel: bool) -> float:
    """Seconds of `tokenizers` in a process of its own."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true" if parallel else "false"}
    command = [sys.executable, "-c", ALONE, f"{folder}/tokenizer/tokenizer.json", str(head)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def stages(corpus: Corpus, job: Job) -> dict[str, float]:
    """Seconds of each stage over the whole corpus; the rest of `build_shards` is its own line."""
    build._tokenizer.cache_clear()
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - start

    with timed("read, clean, cut to bundles"):
        bundles = list(corpus.bundles(0, Findings()))
    names = {
        "split_lines": "sentences (sentencex)",
        "_tokenise": "tokens (word cache)",
        "_all_pairs": "pairs",
        "pack": "packing",
        "gather_rows": "gathering rows",
        "_write_shard": "records, shard file, hash",
    }

    def wrap(name: str, stage: str) -> None:
        function = getattr(build, name)

        def measured(*args):
            with timed(stage):
                return function(*args)

        setattr(build, name, measured)

    originals = {name: getattr(build, name) for name in names}
    for name, stage in names.items():
        wrap(name, stage)
    try:
        with timed("line hashes, counts, the rest"):
            for bundle in bundles:
                build_shards(bundle, job)
    finally:
        for name, function in originals.items():
            setattr(build, name, function)
    write = names["_write_shard"]
    seconds[write] -= seconds[names["pack"]] + seconds[names["gather_rows"]]
    outer = "line hashes, counts, the rest"
    seconds[outer] -= sum(seconds[stage] for stage in names.values())
    for path in Path(job.output).glob("T*/*"):
        path.unlink()
    return seconds


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
