"""Extension of a pretraining run: a new run that continues from another run's whole state."""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from bert_jax.config import Phase, PretrainConfig, divide_steps, flatten, rows_read
from bert_jax.errors import CheckpointError, ConfigError, DivergedError
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.remote.addresses import address, as_path, find_address
from bert_jax.remote.reading import fetch, fetch_step
from bert_jax.training.checkpoint_arrays import ArrayStore, find_non_finite
from bert_jax.training.checkpoint_hashes import (
    BadStep,
    best_step,
    criterion,
    list_steps,
    none_good,
    read_manifests,
    verify_step,
)
from bert_jax.training.step import TrainState

RECORD = "extends.json"


class Extension(NamedTuple):
    """The run that a run extends, if any: part of its resume identity, a file in its directory."""

    run: str = ""
    """Directory of the extended run; empty: the run extends nothing."""
    step: int = 0
    """Its step from which the new run continues."""
    state: str | None = None
    """SHA-256 of that step's files, by the hashes in its manifest."""
    rows_before: Mapping[str, int] = {}
    """Rows of each length that were read before; empty where the data starts from its beginning."""

    @property
    def identity(self) -> dict[str, str | None]:
        """Values that the new run and its checkpoints must agree on."""
        rows = json.dumps(dict(self.rows_before), sort_keys=True) if self.run else None
        return {"extends": self.state, "rows_before": rows}

    def save(self, folder: Path) -> None:
        """Write it to a run's directory, unless it is nothing."""
        if self.run:
            write_text(folder / RECORD, json.dumps(self._asdict(), indent=2) + "\n")

    def describe(self) -> list[str]:
        """Return a line for the log; none if nothing is extended."""
        rows = ", ".join(f"{n:,} rows of {length} tokens" for length, n in self.rows_before.items())
        data = f"the data continues after {rows}" if rows else "the data starts from its beginning"
        line = f"extends {self.run} at step {self.step:,}, with its optimizer state; {data}"
        return [line] if self.run else []


def open_extension(
    config: PretrainConfig,
    folder: Path,
    hashes: Mapping[str, str | None],
    log: Callable[[str], None] = print,
) -> Extension:
    """Find what a run extends: its record if the run has checkpoints, else the source's newest.

    So a run resumes even if the run that it extends has been deleted since.

    Args:
        config: the new run, with the size of its vocabulary.
        folder: the new run's directory.
        hashes: hashes of the new run's "tokenizer" and "data", and its "architecture".
        log: prints a warning for each bad step in whose place another one is used.

    Raises:
        ConfigError: the source differs in model, vocabulary or optimizer, or is no pretraining run.
        CheckpointError: the source has no good checkpoint.
    """
    if not config.extend_from:
        return Extension()
    run, step = split_step(as_path(config.extend_from))
    if list_steps(folder / "checkpoints") and (folder / RECORD).is_file():
        record = _read_record(folder / RECORD)
        _check_same_source(run, record, folder)
        return record
    if address(run.resolve()) == address(folder.resolve()):
        raise ConfigError(
            f"--extend-from {config.extend_from} is the directory of the new run itself",
            "a run of another name",
            "pass --name with the new run's name",
        )
    step, manifest = _newest_good(fetch(run), step, log)
    identity = manifest["identity"]
    _check_compatible(config, identity, address(run), hashes)
    same_data = identity.get("data") == hashes["data"]
    rows = _rows_read(identity, step) if same_data and identity["seed"] == str(config.seed) else {}
    return Extension(address(run), step, _hash_state(manifest), rows)


def split_step(source: Path) -> tuple[Path, int | None]:
    """Split RUN/checkpoints/STEP into the run's directory and the step; the step may be absent."""
    if source.name.isdecimal() and source.parent.name == "checkpoints":
        return source.parent.parent, int(source.name)
    return source, None


def extend_state(fresh: TrainState, extension: Extension) -> TrainState:
    """Return the extended run's state, under the schedule of a new run.

    Parameters, moments and the number of steps, which the randomness of dropout follows, are the
    extended run's; the schedule starts at 0.

    Args:
        fresh: the state of a new run; it is returned where it is only traced for its shapes, and
            where nothing is extended.
        extension: from `open_extension`.

    Raises:
        ConfigError: names, shapes or dtypes differ.
        CheckpointError: the extended state holds NaN or Inf.
    """
    if not extension.run or isinstance(fresh.step, jax.core.Tracer):
        return fresh
    directory = as_path(extension.run).absolute() / "checkpoints" / str(extension.step)
    store = ArrayStore(shared=find_address(directory) is None)
    try:
        extended: TrainState = store.read(fetch_step(directory), fresh)
    finally:
        store.close()
    if name := find_non_finite(extended):
        raise CheckpointError(
            f"{directory}: {name} holds NaN or Inf",
            "a finite state",
            f"pass an earlier step: --extend-from {address(directory.parent)}/STEP",
        )
    opt_state = reset_schedule(extended.opt_state)
    return fresh._replace(step=extended.step, params=extended.params, opt_state=opt_state)


def reset_schedule(opt_state: Any) -> Any:
    """Set the count of the learning-rate schedule to 0; other counts, of moments, stay."""

    def is_schedule(x: Any) -> bool:
        return isinstance(x, optax.ScaleByScheduleState)

    def reset(x: Any) -> Any:
        return jax.tree.map(jax.numpy.zeros_like, x) if is_schedule(x) else x

    return jax.tree.map(reset, opt_state, is_leaf=is_schedule)


def extend_command(source: Path) -> str:
    """Return the options of a new run of the same model that continues from a run or checkpoint."""
    return f"--name NEW --extend-from {address(source)}"


@contextlib.contextmanager
def advise_after_divergence(folder: Path) -> Iterator[None]:
    """Raise the body's DivergedError with the command of a new run from the best checkpoint.

    The newest checkpoint may hold weights that are finite but useless: only one that was evaluated
    is worth extending.
    """
    try:
        yield
    except DivergedError as error:
        manifests = read_manifests(folder / "checkpoints", {})
        best = best_step(manifests)
        start = "start a new run with a lower --optimizer.learning-rate"
        if best is None or criterion(manifests[best]) == (math.inf,):
            advice = f"{start}, under another --name (no checkpoint of this one was evaluated)"
        else:
            advice = f"{start}: {extend_command(folder / 'checkpoints' / str(best))}"
        raise DivergedError(error.lines[0], "finite losses and gradients", advice) from None


def _hash_state(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()


def _check_same_source(run: Path, record: Extension, folder: Path) -> None:
    """Raise ConfigError if another run than the recorded one is there; it may have been moved."""
    if not run.is_dir() or run.resolve() == as_path(record.run).resolve():
        return
    manifest = read_manifests(run / "checkpoints", {}).get(record.step)
    if manifest is None or _hash_state(manifest) != record.state:
        raise ConfigError(
            f"--extend-from {address(run)}, but {address(folder)} extends {record.run} at step"
            f" {record.step:,}",
            "the run that was extended at the start",
            f"pass --extend-from {record.run}, or give a new run another --name",
        )


def _read_record(path: Path) -> Extension:
    values = read_json_object(path)
    try:
        extension = Extension(**values)
        int(extension.step), dict(extension.rows_before)
        return extension
    except (TypeError, ValueError):
        raise ConfigError(
            f"{path} cannot be read: it does not name the run that is extended",
            f"an object with {', '.join(Extension._fields)}",
            "restore the file from a copy",
        ) from None


def _newest_good(
    run: Path, step: int | None, log: Callable[[str], None]
) -> tuple[int, dict[str, Any]]:
    """Return the newest good step, or that very step, with its manifest."""
    folder, bad = run / "checkpoints", {}
    if not folder.is_dir():
        raise ConfigError(
            f"{address(run)} holds no run to extend: {address(folder)} is missing",
            "the directory of a run of pretrain.py",
            "check --extend-from",
        )
    manifests = read_manifests(folder, bad)
    for candidate in sorted(manifests, reverse=True) if step is None else [step]:
        try:
            if candidate not in manifests:
                raise BadStep("there is no such step (--keep-every keeps steps for good)")
            verify_step(folder / str(candidate), manifests[candidate])
        except (BadStep, OSError) as reason:
            bad[candidate] = str(reason)
            continue
        for other, reason in sorted(bad.items() if step is None else ()):
            log(f"warning: checkpoint {other} is bad: {reason}; step {candidate} is extended")
        return candidate, manifests[candidate]
    raise CheckpointError(*none_good(folder, bad))


def _check_compatible(
    config: PretrainConfig,
    identity: Mapping[str, str | None],
    run: str,
    hashes: Mapping[str, str | None],
) -> None:
    """Raise ConfigError if the state of a run of `identity` is not one of this configuration."""
    if "masking.rate" not in identity:
        raise ConfigError(
            f"{run} is not a run of pretrain.py", "a pretraining run", "check --extend-from"
        )
    if identity.get("tokenizer") != hashes["tokenizer"]:
        raise ConfigError(
            f"{config.data} has a different vocabulary or casing from {run}",
            "text prepared with the vocabulary of the run to extend",
            f"re-run prepare.py with --vocab {run}",
        )
    if identity.get("model.model_type") != flatten(config).get("model.model_type"):
        wrong = f"{config.name} trains a {config.model.title}, but {run} is of another family"
        raise ConfigError(wrong, "the model of the run to extend", "choose a run of this family")
    if identity.get("architecture") != hashes.get("architecture"):
        given, saved = "was prepared without NSP", "with NSP"
        fix = "re-run prepare.py without --no-nsp"
        if identity.get("architecture"):
            given, saved, fix = "has labels of NSP", "without NSP", "pass --nsp False"
        elif config.nsp is False:
            given, fix = "is read with --nsp False", "pass --nsp True"
        raise ConfigError(
            f"{config.data} {given}, but {run} was trained {saved}",
            "the objective of the run to extend",
            f"{fix}, or take its weights alone: --encoder {run}",
        )
    # No parameter and no optimizer state depends on these.
    may_differ = {f"model.{name}" for name in config.model.fields_of_training}
    for name, given in flatten(config).items():
        saved = identity.get(name)
        is_state = name.startswith("model.") or name in ("vocab_multiple", "optimizer.name")
        if is_state and name not in may_differ and saved is not None and saved != given:
            raise ConfigError(
                f"{name} = {given}, but {run} has {saved}",
                "the model and the optimizer of the run to extend",
                f"pass --{name.replace('_', '-')} {json.loads(saved)}",
            )


def _rows_read(identity: Mapping[str, str | None], step: int) -> dict[str, int]:
    """Return how many rows of each length a run, and those that it extends, had read at a step."""

    def value(name: str) -> Any:
        return json.loads(identity[name] or "null")

    phases: list[Phase] = []
    while (prefix := f"phases.{len(phases)}") + ".length" in identity:
        phases.append(Phase(*(value(f"{prefix}.{x}") for x in ("length", "batch_size", "share"))))
    total = {
        str(k): n for k, n in rows_read(divide_steps(phases, value("loop.steps")), step).items()
    }
    for length, before in json.loads(identity.get("rows_before") or "{}").items():
        total[length] = total.get(length, 0) + before
    return total
