"""Apache Beam: build the shards of all bundles on the machines of its runner.

Parts of the corpus are read and cut by some workers, bundles built by others; shards and their
statistics go to the output folder, which all workers must be able to write (a shared file system).
The shards are the same, byte for byte, as those of a local run.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.config import BeamConfig
from bert_jax.corpus.build import BundleStats, Job, Shard, build_shards
from bert_jax.corpus.bundles import Bundle, Corpus
from bert_jax.corpus.heldout import SPLITS
from bert_jax.errors import ConfigError, DataError, UserError, os_error_as_user_error
from bert_jax.filesystem import write_text
from bert_jax.reading.cleaning import Findings

ERROR = "error.json"  # in the pipeline's folder
_ARRAYS = ("token_counts", "document_hashes", "line_hashes")


def build_with_beam(
    corpus: Corpus, job: Job, findings: Findings, config: BeamConfig
) -> Generator[BundleStats, None, None]:
    """Build the shards of all bundles in one pipeline, then yield their statistics in order.

    Raises:
        ConfigError: Apache Beam is not installed.
        DataError: a source cannot be read, or a shard cannot be written.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise ConfigError(
            f"beam.runner = {config.runner!r}, but Apache Beam is not installed",
            "the [beam] extra",
            "pip install 'bert_jax[beam]'",
        ) from None

    folder = Path(job.output) / "beam"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()

    def read(part: int) -> Iterator[Bundle]:
        part_findings = Findings()
        with _saved_error(folder):
            yield from corpus.bundles(part, part_findings)
            path = folder / f"findings-{part:05d}.json"
            write_text(path, json.dumps([part_findings.counts, part_findings.examples]))

    def build(bundle: Bundle) -> None:
        with _saved_error(folder):
            save_stats(folder, build_shards(bundle, job))

    options = [f"--runner={config.runner}", *(f"--{option}" for option in config.options)]
    try:
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            parts = pipeline | "Parts" >> beam.Create(range(len(corpus.parts)))
            bundles = parts | "Read" >> beam.FlatMap(read) | "Reshuffle" >> beam.Reshuffle()
            _ = bundles | "Build" >> beam.Map(build)
    except Exception:
        for path in folder.glob(ERROR):
            raise DataError(*json.loads(path.read_text(encoding="utf-8"))) from None
        raise

    for part in range(len(corpus.parts)):
        part_findings = Findings()
        path = folder / f"findings-{part:05d}.json"
        part_findings.counts, part_findings.examples = json.loads(path.read_text(encoding="utf-8"))
        findings.merge(part_findings)
        for split in SPLITS:
            for path in sorted(folder.glob(f"{split}-{part:05d}-*.npz")):
                yield load_stats(path)
    shutil.rmtree(folder)


@contextlib.contextmanager
def _saved_error(folder: Path) -> Iterator[None]:
    """Save an error for users to a file, because Beam raises one of its own instead."""
    try:
        yield
    except (UserError, OSError) as error:
        user_error = os_error_as_user_error(error) if isinstance(error, OSError) else error
        with contextlib.suppress(OSError):
            write_text(folder / ERROR, json.dumps(user_error.lines))
        raise


def save_stats(folder: Path, stats: BundleStats) -> None:
    """Write a bundle's statistics to `<folder>/<split>-<part>-<index>.npz`."""
    values = dataclasses.asdict(stats)
    arrays: dict[str, Any] = {name: values.pop(name) for name in _ARRAYS}
    name = f"{stats.split}-{stats.part:05d}-{stats.index:05d}"
    partial = folder / f"{name}.partial"
    with partial.open("wb") as file:
        np.savez(file, values=np.array(json.dumps(values)), **arrays)
    partial.replace(folder / f"{name}.npz")


def load_stats(path: Path) -> BundleStats:
    """Read the statistics that `save_stats` wrote."""
    with np.load(path, allow_pickle=False) as file:
        values: dict[str, Any] = json.loads(str(file["values"]))
        values["shards"] = {int(t): Shard(**shard) for t, shard in values["shards"].items()}
        return BundleStats(**values, **{name: file[name] for name in _ARRAYS})
