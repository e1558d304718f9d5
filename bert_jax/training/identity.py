"""Identity of a run: the values on which it agrees with its checkpoints and its config.json."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bert_jax.config.files import flatten
from bert_jax.config.resume import default_identity
from bert_jax.errors import ConfigError
from bert_jax.remote.addresses import address
from bert_jax.training.rundir import versions

Identity = Mapping[str, str | None]

OTHER_RUN_ADVICE = "pass the saved values, or give a new run another name"
_PATHS = {"data", "encoder", "extend_from", "train", "dev", "test", "runs_dir", "tfds_data_dir"}


def other_run_advice(folder: Path) -> str:
    """Return the advice for a pretraining run, which another one can extend."""
    return (
        "pass the saved values, or give a new run another --name; with --extend-from "
        f"{address(folder)} it continues from this state"
    )


class ResumeRules(NamedTuple):
    """How the identities of a checkpoint and of the run that resumes from it may differ."""

    may_differ: Collection[str] = ()
    """Names that are ignored if a checkpoint has them, and the run does not."""
    defaults: Identity = MappingProxyType({})
    """Values of names that a checkpoint may lack, as of options that an older version did not
    have."""
    advice: str = OTHER_RUN_ADVICE
    """The next step for the user if they differ."""


def require_same_run(
    source: str,
    saved: Identity,
    given: Identity,
    rules: ResumeRules = ResumeRules(),  # noqa: B008  # immutable
) -> None:
    """Compare the identity of a checkpoint with that of the run which is to resume from it.

    Args:
        source: the checkpoint, for the error.
        saved: identity in the checkpoint's manifest.
        given: identity of the run.
        rules: how they may differ.

    Raises:
        ConfigError: they differ; the message names every field and both values.
    """
    saved = {k: v for k, v in saved.items() if k in given or k not in rules.may_differ}
    saved |= {k: v for k, v in rules.defaults.items() if k in given and k not in saved}
    values = ", ".join(
        f"{k} (saved {saved.get(k, '(absent)')}, given {given.get(k, '(absent)')})"
        for k in {**saved, **given}
        if saved.get(k) != given.get(k)
    )
    if values:
        raise ConfigError(
            f"{source} comes from another run: {values}",
            "the values that the checkpoint was saved with",
            rules.advice,
        )


def job_identity(config: Any, hashes: Identity) -> dict[str, str | None]:
    """Return the values on which all processes of a job must agree.

    They are all options, since each may decide what the processes compute together and when, but
    paths: a machine may have the same files elsewhere, and `hashes` stand for their contents.
    """
    options = {k: v for k, v in flatten(config).items() if k.split(".")[0] not in _PATHS}
    computing = ("bert_jax", "jax", "jaxlib", "flax", "optax")
    packages = {f"version of {k}": v for k, v in versions().items() if k in computing}
    return {**options, **packages, **hashes}


def require_saved_model(config_file: Path, model: Any, identity: Identity) -> None:
    """Compare the model in a run's config.json with the one that its checkpoint was saved with.

    Args:
        config_file: the run's config.json, for the error.
        model: its field `model`.
        identity: identity in the checkpoint's manifest.

    Raises:
        ConfigError: they differ; the message names every field and both values.
    """
    # A field that an older run did not have has its default value.
    saved = {k: v for k, v in identity.items() if k.startswith("model.")}
    given = {f"model.{k}": v for k, v in flatten(model).items()}
    defaults = {f"model.{k}": v for k, v in default_identity(model).items()}
    values = ", ".join(
        f"{name} = {value}, but the checkpoint has {expected}"
        for name, value in given.items()
        if (expected := saved.get(name, defaults.get(name))) != value
    )
    if values:
        raise ConfigError(
            f"{config_file} is not the configuration of this run's checkpoint: {values}",
            "the values with which the model was trained",
            "restore config.json, or write the checkpoint's values into it",
        )
