"""Durations, read and written."""

import pytest

from bert_jax.config.duration import format_duration, parse_duration
from bert_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45m", 2700), ("3h", 10_800), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400),
     ("1H 30M", 5400), ("1d1s", 86_401)],
)  # fmt: skip
def test_days_hours_minutes_and_seconds_are_read(text, seconds):
    assert parse_duration(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "3", "h", "0s", "-1h", "30m1h", "3 hours", "1e3s", "nan"])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match=f"--budget {text} is no duration\n.*1h30m"):
        parse_duration(text, "--budget")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012s"), (5, "5s"), (10, "10s"), (59.6, "1m"), (61, "1m 1s"), (3599.7, "1h"),
     (5400, "1h 30m"), (86_400 + 59, "1d"), (1_234_567, "14d 6h")],
)  # fmt: skip
def test_durations_are_shown_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text
