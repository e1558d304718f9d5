"""The page's colors can be read: WCAG 2.2, level AA, light and dark."""

import re

import pytest

from bert_jax.explorer.page import read_static

TEXT, LINE = 4.5, 3.0  # smallest ratios of luminances for text, and for what is drawn


def colors() -> dict[str, tuple[str, str]]:
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", read_static("page.css"))
    return {name: (light, dark) for name, light, dark in pairs}


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "backs", "smallest"),
    [
        ("ink", ["paper", "card", "accent-soft"], TEXT),
        ("quiet", ["paper", "card"], TEXT),
        ("accent", ["paper", "card", "accent-soft"], TEXT),
        ("on-accent", ["accent"], TEXT),
        ("warn", ["warn-soft"], TEXT),
        ("bad", ["bad-soft"], TEXT),
        *[(f"line-{number}", ["paper", "card"], LINE) for number in range(8)],
    ],
)
def test_contrast(scheme, front, backs, smallest):
    found = colors()
    for back in backs:
        assert contrast(found[front][scheme], found[back][scheme]) >= smallest, back


def test_the_formula_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
