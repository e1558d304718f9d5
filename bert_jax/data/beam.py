"""Bundles to shards under Apache Beam, on as many machines as its runner has.

Parts of the corpus are read and cut by some workers, bundles built by others; shards and what is
known about them go to the output folder, which all workers must be able to write (a shared file
system). The shards are the same, byte for byte, as those of a local run.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.config import BeamConfig
from bert_jax.data.build import Built, Job, Shard, build_shards
from bert_jax.data.bundles import SPLITS, Bundle, Corpus
from bert_jax.data.cleaning import Findings
from bert_jax.errors import ConfigError

_ARRAYS = ("token_counts", "document_hashes", "line_hashes")


def build_with_beam(
    corpus: Corpus, job: Job, findings: Findings, config: BeamConfig
) -> Iterator[Built]:
    """Builds the shards of all bundles as one pipeline, and then yields what they hold, in order.

    Raises:
        ConfigError: Apache Beam is not installed.
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

    notes = Path(job.output) / "beam"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()

    def read(part: int) -> Iterator[Bundle]:
        found = Findings()
        yield from corpus.bundles(part, found)
        path = notes / f"findings-{part:05d}.json"
        path.write_text(json.dumps([found.counts, found.examples]), encoding="utf-8")

    def build(bundle: Bundle) -> None:
        write_built(notes, build_shards(bundle, job))

    options = [f"--runner={config.runner}", *(f"--{option}" for option in config.options)]
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        parts = pipeline | "Parts" >> beam.Create(range(len(corpus.parts)))
        bundles = parts | "Read" >> beam.FlatMap(read) | "Spread" >> beam.Reshuffle()
        _ = bundles | "Build" >> beam.Map(build)

    for part in range(len(corpus.parts)):
        found = Findings()
        path = notes / f"findings-{part:05d}.json"
        found.counts, found.examples = json.loads(path.read_text(encoding="utf-8"))
        findings.merge(found)
        for split in SPLITS:
            for path in sorted(notes.glob(f"{split}-{part:05d}-*.npz")):
                yield read_built(path)
    shutil.rmtree(notes)


def write_built(folder: Path, built: Built) -> None:
    """Saves what a bundle held, beside its shards."""
    values = dataclasses.asdict(built)
    arrays: dict[str, Any] = {name: values.pop(name) for name in _ARRAYS}
    name = f"{built.split}-{built.part:05d}-{built.index:05d}"
    partial = folder / f"{name}.partial"
    with partial.open("wb") as file:
        np.savez(file, values=np.array(json.dumps(values)), **arrays)
    partial.replace(folder / f"{name}.npz")


def read_built(path: Path) -> Built:
    """Reads what `write_built` wrote."""
    with np.load(path, allow_pickle=False) as file:
        values: dict[str, Any] = json.loads(str(file["values"]))
        values["shards"] = {int(t): Shard(**shard) for t, shard in values["shards"].items()}
        return Built(**values, **{name: file[name] for name in _ARRAYS})
