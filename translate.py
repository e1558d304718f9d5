"""Translate with a run of train_translator.py: `python translate.py RUN [FILE | -]`.

Line n of the output translates line n of the input. With --align "SENTENCE" it translates one
sentence and draws which source tokens each target token attends to. Exit codes: 0 done, 2
configuration, 3 data, 4 no usable checkpoint.

Examples:
    python translate.py runs/dates
    python translate.py runs/multi30k text.en -o text.de --num-beams 5
    python translate.py runs/dates --align "september 27, 1994"
"""

import dataclasses
import sys
from typing import Annotated

import tyro

from bert_jax.config.command_line import read_options
from bert_jax.errors import DataError, report_user_errors
from bert_jax.lineage.config import SearchConfig
from bert_jax.lineage.translator import (
    Translator,
    draw_alignment,
    load_translator,
    translate_file,
    warn_of_unknown,
)
from bert_jax.remote.addresses import local_path

TOPICS = {
    "model and text": ("run", "file", "output", "align"),
    "search": ("num_beams", "length_penalty", "coverage_penalty", "extra_tokens"),
}


@dataclasses.dataclass(frozen=True)
class TranslateConfig:
    """Model, input, and search for translations."""

    run: tyro.conf.Positional[str]
    """A run of train_translator.py, such as runs/dates."""
    file: tyro.conf.Positional[str] = "-"
    """Text to translate, one sentence per line; "-" is standard input (or a terminal)."""
    output: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write. None: print the translations."""
    align: str | None = None
    """Translate only this sentence, and draw its alignment to RUN/plots/alignment.svg."""
    num_beams: int | None = None
    """Hypotheses kept at every step; 1 is greedy search. None: the run's own."""
    length_penalty: float | None = None
    """α, which favours long translations. None: the run's own."""
    coverage_penalty: float | None = None
    """β, the penalty for source tokens with little attention. None: the run's own."""
    extra_tokens: int | None = None
    """Most tokens by which a translation may exceed its source. None: the run's own."""


def main(config: TranslateConfig) -> int:
    """Translate; return the exit code."""
    translator = load_translator(config.run)
    search = override_search(config, translator)
    if config.align is not None:
        picture = local_path(config.run) / "plots" / "alignment.svg"
        print(draw_alignment(translator, config.align, search, picture))
        print(f"alignment drawn to {picture}")
    elif config.file == "-" and config.output is None and sys.stdin.isatty():
        translate_interactively(translator, search)
    else:
        translate_file(translator, config.file, config.output, search)
    return 0


def override_search(config: TranslateConfig, translator: Translator) -> SearchConfig:
    """Return the run's search configuration, overridden by the command line."""
    names = [field.name for field in dataclasses.fields(SearchConfig)]
    given = {name: value for name in names if (value := getattr(config, name)) is not None}
    return dataclasses.replace(translator.config.search, **given)


def translate_interactively(translator: Translator, search: SearchConfig) -> None:
    """Translate each line as it is typed, until an empty one."""
    print("enter one sentence per line; an empty line quits")
    for line in map(str.strip, sys.stdin):
        if not line:
            break
        warn_of_unknown(translator.vocabulary, [line], ["your text"])
        try:
            print(translator.translate([line], search, ["your text"])[0], flush=True)
        except DataError as error:
            print(error, file=sys.stderr)


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(read_options(TranslateConfig, "translate.py", __doc__, TOPICS))


if __name__ == "__main__":
    sys.exit(command_line())
