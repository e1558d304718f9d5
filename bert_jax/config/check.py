"""Validation of configuration values."""

import dataclasses

from bert_jax.errors import ConfigError


def require(ok: bool, field: str, value: object, expected: str) -> None:
    """Raise ConfigError, naming the field, its value and what was expected, unless `ok`."""
    if not ok:
        raise ConfigError(
            f"{field} = {value!r} is invalid", expected, f"pass another value for {field}"
        )


def require_sizes(config: object) -> None:
    """Raise ConfigError if an integer field, None aside, is not from 1 to 2^24."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if field.type in (int, int | None) and value is not None:
            require(1 <= value <= 2**24, field.name, value, "an integer from 1 to 16777216")


def require_at_least(config: object, minimum: int, *names: str, prefix: str = "") -> None:
    """Raise ConfigError if one of these fields, None aside, is below the minimum."""
    for name in names:
        value = getattr(config, name)
        ok = value is None or value >= minimum
        require(ok, f"{prefix}{name}", value, f"at least {minimum}")


def require_rate(config: object, name: str) -> None:
    """Raise ConfigError if a dropout rate is not in [0, 1)."""
    value = getattr(config, name)
    require(0 <= value < 1, name, value, "a number in [0, 1)")


def require_name(name: str) -> None:
    """Raise ConfigError unless a run's name is the name of one folder; empty is allowed."""
    is_one_folder = "/" not in name and "\0" not in name and name not in (".", "..")
    expected = "the name of one folder, of at most 200 bytes, without /"
    require(is_one_folder and len(name.encode(errors="replace")) <= 200, "name", name, expected)


def is_text_encoding(name: str) -> bool:
    """Return whether Python can decode text in an encoding of this name."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def require_dry_run(topology: str | None, dry_run: bool) -> None:
    """Require that a machine to compile for is named for a dry run only."""
    if topology and not dry_run:
        raise ConfigError(
            f"--topology {topology} is given without --dry-run",
            "--dry-run, which compiles for a machine that is absent",
            "pass --dry-run, or leave out --topology",
        )
