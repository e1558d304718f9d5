"""The page's colors can be read: WCAG 2.2, level AA, light and dark."""

import re

import pytest

from bert_jax.explorer.page import read_static, scripts, styles

TEXT = 4.5  # smallest ratio of luminances for text
LINE = 3.0  # for lines and marks


def colors() -> dict[str, tuple[str, str]]:
    sheets = "".join(map(read_static, styles()))
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", sheets)
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
        ("bad", ["bad-soft", "card"], TEXT),
        ("looked", ["paper", "card", "looked-soft"], TEXT),
        ("quiet", ["warn-soft"], TEXT),
        *((f"line-{n}", ["paper", "card"], LINE) for n in range(8)),
        *((name, ["paper", "card"], LINE) for name in ("accent", "for", "against")),
    ],
)
def test_contrast(scheme, front, backs, smallest):
    found = colors()
    for back in backs:
        assert contrast(found[front][scheme], found[back][scheme]) >= smallest, back


def test_the_formula_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


CLASS = re.compile(r"\.([a-z][\w-]*)(?=[^{}]*\{)")


def test_no_style_is_for_a_class_that_no_script_gives():
    sheets = re.sub(r"/\*.*?\*/", "", "".join(map(read_static, styles())), flags=re.S)
    code = "".join(map(read_static, scripts().values()))
    made = re.findall(r"([\w-]+-)\$\{", code)  # `slot-${slot}`
    unused = {
        name
        for name in CLASS.findall(sheets)
        if not re.search(rf"(?<![\w-]){name}(?![\w-])", code)
        and not any(name.startswith(prefix) for prefix in made)
    }
    assert not unused


def test_no_file_of_the_page_is_long():
    for path in [*scripts().values(), *styles()]:
        assert len(read_static(path).splitlines()) <= 300, path
