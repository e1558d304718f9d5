"""Speed of text → packed rows, next to `tokenizers` alone on the same text, in the same run.

    python benchmarks/prepare_speed.py TEXT --vocab vocab.txt --lowercase

Print MB/s of both on one core and on all, their ratio, and the cost of each stage.
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

from bert_jax.corpus import build
from bert_jax.corpus.build import Job, build_shards
from bert_jax.corpus.bundles import BundleOptions, Corpus
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.workers import build_with_workers, count_cores
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import ReadOptions, Source, group_parts
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from bert_jax.tokenizer.vocab_file import read_vocab

TOKENIZERS_ALONE = """
import sys, time
from pathlib import Path
from tokenizers import Tokenizer
fast = Tokenizer.from_file(sys.argv[1])
lines = [line for line in Path(sys.argv[2]).read_text(encoding="utf-8").split("\\n") if line]
start = time.perf_counter()
for i in range(0, len(lines), 1000):
    fast.encode_batch_fast(lines[i : i + 1000], add_special_tokens=False)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    text: Annotated[str, tyro.conf.Positional]
    """Text file: a paragraph per line, a blank line between documents."""
    vocab: str
    """Vocabulary (vocab.txt)."""
    lowercase: bool = False
    """Lower-case the text."""
    length: int = 128
    """Row length T in tokens."""
    repeats: int = 3
    """Number of runs; the best one counts."""
    alone_mb: float = 8.0
    """Text in MB for `tokenizers` alone, which is slower."""


def main(options: Options) -> None:
    """Measure and print."""
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
        num_cores = count_cores()
        print(f"{options.text}: {size / 1e6:.1f} MB, T={options.length}, {num_cores} cores\n")
        head = Path(folder) / "head.txt"
        copy_head(Path(options.text), head, int(options.alone_mb * 1e6))
        for num_workers in sorted({1, num_cores}):
            ours = min(time_rows(corpus, job, num_workers) for _ in range(options.repeats))
            alone = min(
                time_tokenizers(folder, head, parallel=num_workers > 1)
                for _ in range(options.repeats)
            )
            speed, speed_alone = size / 1e6 / ours, head.stat().st_size / 1e6 / alone
            print(
                f"{num_workers} core(s): text → packed rows {speed:6.1f} MB/s | tokenizers alone "
                f"{speed_alone:5.1f} MB/s | ratio {speed / speed_alone:.1f}"
            )
        print("\ncost of each stage (processor time; the word cache starts empty):")
        for stage, seconds in time_stages(corpus, job).items():
            print(f"  {stage:34s} {seconds / size * 1e9:6.1f} ms/MB")


def copy_head(text: Path, head: Path, size: int) -> None:
    """Write the first `size` bytes of a text, up to the last complete line, to a file."""
    with text.open("rb") as source:
        data = source.read(size)
    head.write_bytes(data[: data.rfind(b"\n") + 1])


def time_rows(corpus: Corpus, job: Job, num_workers: int) -> float:
    """Return the seconds from text to shards, including reading and the start of processes."""
    build._load_tokenizer.cache_clear()
    start = time.perf_counter()
    for _ in build_with_workers(corpus, job, Findings(), num_workers):
        pass
    return time.perf_counter() - start


def time_tokenizers(folder: str, head: Path, parallel: bool) -> float:
    """Return the seconds of `tokenizers` alone, in a separate process."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true" if parallel else "false"}
    command = [
        sys.executable,
        "-c",
        TOKENIZERS_ALONE,
        f"{folder}/tokenizer/tokenizer.json",
        str(head),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(result.stdout)


def time_stages(corpus: Corpus, job: Job) -> dict[str, float]:
    """Return each stage's seconds over the corpus; the rest of `build_shards` is its own entry."""
    build._load_tokenizer.cache_clear()
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - start

    with timed("read, clean, cut to bundles"):
        bundles = list(corpus.bundles(0, Findings()))
    names = {
        "split_sentences": "sentences (sentencex)",
        "_tokenize": "tokens (word cache)",
        "_pair_documents": "pairs",
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
