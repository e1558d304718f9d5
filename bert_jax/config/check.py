"""The check that every configuration makes of its values."""

from bert_jax.errors import ConfigError


def require(ok: bool, field: str, value: object, expected: str) -> None:
    """Raises ConfigError, naming the field, its value and what was expected, unless `ok`."""
    if not ok:
        raise ConfigError(
            f"{field} = {value!r} cannot work", expected, f"pass another value for {field}"
        )
