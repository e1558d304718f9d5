"""Predicts with a trained model: `python predict.py MODEL_DIR [FILE | -]`.

Fine-tuned models give classes, scores, tags or answers; pretrained ones fill each [MASK]. Input is
a text a line, TSV or CSV with a header, JSONL, Parquet, or SQuAD's JSON; output has a line for
each input, in order: JSONL, or TSV. Exit codes: 0 done, 2 configuration, 3 data, 4 no usable model.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TextIO

import tyro

import bert_jax
from bert_jax.data.readers import text_lines
from bert_jax.data.rejects import Rejects
from bert_jax.data.squad import read_questions
from bert_jax.data.tables import Table, read_table, text_names
from bert_jax.errors import ConfigError, DataError, UserError, errors_for_people

TOGETHER = 4096  # inputs that are sorted by length together


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """What to predict with, from what, and how it is written."""

    model: tyro.conf.Positional[str]
    """A run of finetune.py or pretrain.py, or a Hugging Face directory."""
    file: tyro.conf.Positional[str] = "-"
    """Where the inputs are; "-" is standard input."""
    format: Literal["auto", "lines", "tsv", "jsonl"] = "auto"
    """How to read lines; "auto" goes by the file's name, and takes "{" for JSONL."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "-"
    """File to write; "-" is standard output; one that ends in .tsv is TSV."""
    tsv: bool = False
    """Write TSV: label, score, tags or answer, then the probability, then the text."""
    top_k: int = 5
    """Words for each [MASK]."""
    batch_size: int = 32
    """Inputs that are computed together."""


class Input(NamedTuple):
    """A line or a row."""

    values: dict[str, Any]
    wrong: str = ""
    """Why it could not be read."""


def main(config: PredictConfig) -> int:
    """Predicts; returns the exit code."""
    model = bert_jax.load(config.model)
    if model.task is None:
        model.need_words()
    as_tsv = config.tsv or config.output.endswith(".tsv")
    inputs = read_inputs(config)  # first: what cannot be read leaves the output as it was
    bad = 0
    try:
        with open_output(config.output) as output:
            for part in batched(inputs, TOGETHER):
                for (given, _), said in zip(part, predict_part(model, part, config), strict=True):
                    bad += "error" in said
                    output.write(as_row(given, said) if as_tsv else as_json(given, said))
                output.flush()
    except BrokenPipeError:  # the reader has seen enough: `python predict.py … | head`
        return 0
    if bad:
        print(f'{bad:,} inputs could not be used: their lines say "error"', file=sys.stderr)
    return 0


def predict_part(
    model: bert_jax.Model, part: list[Input], config: PredictConfig
) -> list[dict[str, Any]]:
    """What the model says of some inputs; an input that cannot be used has an "error"."""
    said: list[dict[str, Any]] = [{"error": given.wrong} for given in part]
    usable, places = [], []
    for place, (values, wrong) in enumerate(part):
        if wrong:
            continue
        try:
            if model.task is None:
                usable.append(model.masked_row(main_text(values)))
            else:
                usable.append(model.task.parse(values, f"input {place + 1}"))
            places.append(place)
        except UserError as error:
            said[place] = {"error": str(error).split("\n")[0]}
    if model.task is None:
        filled = model.fill_rows(usable, config.top_k, config.batch_size)
        found = [
            {"masks": [[{"token": w, "probability": p} for w, p in words] for words in masks]}
            for masks in filled
        ]
    else:
        found = model.predict_examples(usable, config.batch_size)
    for place, of_input in zip(places, found, strict=True):
        said[place] = of_input
    return said


def main_text(values: dict[str, Any]) -> str:
    """The text of an input, or the first of a pair."""
    return next((str(values[name]) for name in text_names(values)[0] if name in values), "")


def read_inputs(config: PredictConfig) -> Iterator[Input]:
    """The inputs, one for each line or row."""
    name, kind = config.file, config.format
    if name == "-":
        return from_lines(sys.stdin, kind)
    plain = name.removesuffix(".gz").removesuffix(".xz")
    if plain.endswith(".json"):
        asked = read_questions(name)
        return (Input({"question": text, "context": context}) for context, text, _ in asked)
    is_table = kind in ("auto", "tsv") and plain.endswith((".tsv", ".csv", ".jsonl"))
    if is_table or name.endswith(".parquet"):
        rejects = Rejects()
        return in_order(read_table(name, rejects), rejects)
    if not Path(name).is_file():
        raise DataError(f"{name} does not exist", 'a file, or "-"', "check the path")
    return from_lines(text_lines(name), kind)


def in_order(table: Table, rejects: Rejects) -> Iterator[Input]:
    """The rows of a table, those that cannot be read among the others as they stand."""
    found = [(place, Input(values)) for place, values in table.records]
    for row in rejects.rows:
        wrong = f"{row['place']}: {row['reason']}"
        found.append((row["place"], Input({"row": row["row"]}, wrong)))
    found.sort(key=lambda at: int(at[0].rpartition(":")[2]))
    return (given for _, given in found)


def from_lines(lines: Iterable[str], kind: str) -> Iterator[Input]:
    """Lines as inputs: JSON objects, tab-separated text and text b, or plain texts."""
    for line in lines:
        line = line.rstrip("\r\n")
        if kind == "jsonl" or (kind == "auto" and line.startswith("{")):
            try:
                value = json.loads(line)
                yield Input(value if isinstance(value, dict) else {"json": value})
            except (ValueError, RecursionError):
                yield Input({"line": line}, "no JSON")
        elif kind == "tsv" and "\t" in line:
            first, second = line.split("\t", 1)
            yield Input({"sentence1": first, "sentence2": second})
        else:
            yield Input({"text": line})


def as_json(given: dict[str, Any], said: dict[str, Any]) -> str:
    """One line of JSON: the input's texts, and what is said of it."""
    return json.dumps({**given, **said}, ensure_ascii=False, default=str) + "\n"


def as_row(given: dict[str, Any], said: dict[str, Any]) -> str:
    """One row of TSV."""
    if "masks" in said:
        result = " ".join(words[0]["token"] for words in said["masks"])
        sure = min(words[0]["probability"] for words in said["masks"])
    elif "tags" in said:
        result, sure = " ".join(said["tags"]), min(said["probabilities"])
    else:
        result = said.get("label", said.get("score", said.get("text", said.get("error"))))
        sure = said.get("probability", "")
    cells = (str(result), str(sure), main_text(given))
    return "\t".join(" ".join(cell.split()) for cell in cells) + "\n"


def batched(inputs: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` inputs, the last one shorter."""
    iterator = iter(inputs)
    while part := list(itertools.islice(iterator, size)):
        yield part


@contextlib.contextmanager
def open_output(name: str) -> Iterator[TextIO]:
    """A file to write, or standard output.

    A file gets its name when all is written; until then it is NAME.partial, and NAME is left alone.
    """
    path = Path(name)
    is_plain = name != "-" and (path.is_file() or not path.exists())
    if is_plain:
        path = path.resolve()
    partial = path.with_name(path.name + ".partial") if is_plain else path
    with contextlib.ExitStack() as stack:
        try:
            target = sys.stdout.fileno() if name == "-" else partial
            output = stack.enter_context(
                open(target, "w", encoding="utf-8", errors="replace", closefd=name != "-")
            )
        except OSError as error:
            raise ConfigError(
                f"{name} cannot be written: {error.strerror}",
                "a file in a directory that exists",
                "give another --output",
            ) from None
        yield output
    if is_plain:
        os.replace(partial, path)


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    config = tyro.cli(PredictConfig, prog="predict.py", description=__doc__)
    return main(config)


if __name__ == "__main__":
    sys.exit(command_line())
