"""Durations as people write them: 90s, 45m, 3h, 1h30m, 2d."""

import re

from bert_jax.errors import ConfigError

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_PATTERN = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS))


def parse_duration(text: str, option: str) -> float:
    """Return the seconds of a duration, its units from days to seconds in this order.

    Raises:
        ConfigError: it is none, or is 0; the message names the option.
    """
    match = _PATTERN.fullmatch("".join(text.lower().split()))
    numbers = match.groups(default="0") if match else ()
    seconds = sum(float(n) * unit for n, unit in zip(numbers, _UNITS.values(), strict=False))
    if not seconds:
        raise ConfigError(
            f"{option} {text} is no duration",
            "days, hours, minutes and seconds, such as 90s, 45m, 3h, 1h30m or 2d",
            f"pass another value for {option}",
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as "1h 30m", or "0.25s" below ten seconds.

    Seconds are the smallest unit that is shown.
    """
    if seconds < 10:
        return f"{seconds:.2g}s"
    parts, rest = [], round(seconds)
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number or parts:
            parts.append(f"{number}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0"))
