"""Output of predict.py: lines of JSON or TSV, with an input's values beside its prediction."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from bert_jax.errors import ConfigError, DataError, os_error_reason
from bert_jax.labelled.inputs import Input, main_text
from bert_jax.remote.addresses import local_path

PREFIX = "predicted_"
ERRORS_SHOWN = 3
RESULTS = ("error", "label", "labels", "score", "tags", "text")  # names of a prediction's result


def join_prediction(values: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
    """Return an input's values with its prediction; both are kept where their names collide.

    The input's value keeps its name, and the prediction's gets the prefix "predicted_". Words are
    given once if they are the same.
    """
    joined = dict(values)
    for name, value in prediction.items():
        if name == "words" and values.get(name) == value:
            continue
        while name in joined:
            name = PREFIX + name
        joined[name] = value
    return joined


def colliding_names(values: dict[str, Any], prediction: dict[str, Any]) -> list[str]:
    """Return the names that an input and its prediction share, and that get the prefix."""
    return [name for name in prediction if name in values and name != "words"]


def as_json(example: Input, prediction: dict[str, Any]) -> str:
    """Return a line of JSON: the input's values, then its prediction."""
    joined = join_prediction(example.values, prediction)
    return json.dumps(joined, ensure_ascii=False, default=str) + "\n"


def as_tsv(example: Input, prediction: dict[str, Any]) -> str:
    """Return a line of TSV: the prediction, its probability, the text, and the input's own label.

    The last cell is there if the input has a value under the name of the prediction.
    """
    name = next((name for name in RESULTS if name in prediction), "")
    result, probability = prediction.get(name), prediction.get("probability", "")
    if "masks" in prediction:
        best = [tokens[0] for tokens in prediction["masks"]]
        result = " ".join(token["token"] for token in best)
        probability = min(token["probability"] for token in best)
    elif name == "tags":
        probability = min(prediction["probabilities"])
    separator = "; " if name == "labels" else " "  # labels may have spaces, tags have none
    cells = [_as_cell(result, separator), str(probability), main_text(example.read)]
    if name and example.values.get(name) is not None:
        cells.append(_as_cell(example.values[name], separator))
    return "\t".join(" ".join(cell.split()) for cell in cells) + "\n"


@contextlib.contextmanager
def open_output(name: str) -> Iterator[TextIO]:
    """Open a file to write, or standard output.

    The file is written as NAME.partial and gets its name once it is complete; if it cannot be
    completed, nothing is left of it.
    """
    path = local_path(name)
    is_regular_file = name != "-" and (path.is_file() or not path.exists())
    if is_regular_file:
        path = path.resolve()
    partial = path.with_name(path.name + ".partial") if is_regular_file else path
    shown = "standard output" if name == "-" else name
    try:
        target = sys.stdout.fileno() if name == "-" else partial
        output = open(  # noqa: SIM115  # closed below
            target, "w", encoding="utf-8", errors="replace", closefd=name != "-"
        )
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be written: {os_error_reason(error)}",
            "a file in a directory that exists",
            "give another --output",
        ) from None
    try:
        with output:
            yield output
        if is_regular_file:
            os.replace(partial, path)
    except BaseException as error:
        if is_regular_file:
            with contextlib.suppress(OSError):
                partial.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise DataError(
                f"{shown} cannot be written: {os_error_reason(error)}",
                "space for the predictions",
                "free some space, or give another --output",
            ) from None
        raise


@dataclasses.dataclass
class Summary:
    """Counts of predictions for the last lines on stderr, and the answers by question."""

    rows: int = 0
    truncated: int = 0
    num_errors: int = 0
    errors: list[str] = dataclasses.field(default_factory=list)
    """The first errors."""
    renamed: dict[str, None] = dataclasses.field(default_factory=dict)
    """Names that inputs and their predictions share."""
    answers: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, example: Input, prediction: dict[str, Any]) -> None:
        """Count one input."""
        self.rows += 1
        self.truncated += "truncated" in prediction
        if "error" in prediction:
            self.num_errors += 1
            self.errors += [prediction["error"]][: ERRORS_SHOWN - len(self.errors)]
            return
        self.renamed |= dict.fromkeys(colliding_names(example.values, prediction))
        if "none_margin" in prediction and "id" in example.values:
            # As in training, "none" is an answer only in files that say which questions have none.
            is_none = "is_impossible" in example.values and prediction["none_margin"] > 0
            self.answers[str(example.values["id"])] = "" if is_none else prediction["text"]

    def check(self, max_rejected: float) -> None:
        """Check that enough inputs could be used.

        Raises:
            DataError: none could, or too few.
        """
        share = self.num_errors / max(self.rows, 1)
        if self.num_errors and (share == 1 or share > max_rejected):
            raise DataError(
                f"{self.num_errors:,} of {self.rows:,} inputs could not be used: "
                + "; ".join(self.errors),
                "inputs that the model can read; "
                + (f"at most {max_rejected:.1%} unusable" if max_rejected < 1 else "one at least"),
                "name the text's column with --columns.text, or the format with --format, or fix "
                "the rows",
            )

    def report(self, max_length: int, is_tsv: bool) -> None:
        """Print notes on the output to stderr: renamed values, truncated and unusable inputs."""
        for name in self.renamed:
            where = f'the prediction is "{PREFIX}{name}"' if not is_tsv else "it is the last cell"
            if not is_tsv or name in RESULTS:
                print(f'note: the input has its own "{name}"; {where}', file=sys.stderr)
        if self.truncated:
            where = "" if is_tsv else ': see "truncated" in the output'
            print(
                f"{self.truncated:,} of {self.rows:,} inputs were truncated; the model reads up to "
                f"{max_length} tokens{where}",
                file=sys.stderr,
            )
        if self.num_errors:
            print(
                f'{self.num_errors:,} inputs could not be used: see "error" in the output; '
                f"the first: {self.errors[0]}",
                file=sys.stderr,
            )


def _as_cell(value: Any, separator: str = " ") -> str:
    return separator.join(map(str, value)) if isinstance(value, list) else str(value)
