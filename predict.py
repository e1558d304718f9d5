"""Predict with a trained model: `python predict.py MODEL_DIR [FILE | -]`.

Fine-tuned models predict classes, scores, tags or answers; pretrained ones fill each [MASK]. Input
is one text per line, TSV or CSV with a header, JSONL, Parquet, or SQuAD's JSON; output is JSONL or
TSV, one line per input, in order. Exit codes: 0 done (also if the output was closed by its reader),
2 configuration, 3 data, 4 no usable checkpoint.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import tyro

import bert_jax
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.labelled.inputs import Input, InputFormat, main_text, read_inputs
from bert_jax.tasks.task import Prediction

CHUNK = 4096  # inputs that are sorted by length and predicted together


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Model, input and output of predictions."""

    model: tyro.conf.Positional[str]
    """A run of finetune.py or pretrain.py, or a Hugging Face directory."""
    file: tyro.conf.Positional[str] = "-"
    """File of inputs; "-" is standard input."""
    format: InputFormat = "auto"
    """Input format; "auto" goes by file extension, and treats lines starting with { as JSONL."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "-"
    """File to write, as TSV if its name ends in .tsv; "-" is standard output."""
    tsv: bool = False
    """Write TSV: label, score, tags or answer, then the probability, then the text."""
    top_k: int = 5
    """Tokens to predict for each [MASK]."""
    batch_size: int = 32
    """Rows of 64 tokens in a batch; short inputs share a row."""


def main(config: PredictConfig) -> int:
    """Read inputs, predict, write the predictions; return the exit code."""
    model = bert_jax.load(config.model)
    if model.task is None:
        model.require_mlm()
    as_line = as_tsv if config.tsv or config.output.endswith(".tsv") else as_json
    # Inputs first: if the file cannot be read, an earlier output is left as it is.
    inputs = read_inputs(config.file, config.format)
    num_errors = 0
    try:
        with open_output(config.output) as output:
            for chunk in chunks(inputs, CHUNK):
                predictions = model.predict_inputs(chunk, config.top_k, config.batch_size)
                for example, prediction in zip(chunk, predictions, strict=True):
                    output.write(as_line(example.values, prediction))
                    num_errors += "error" in prediction
                output.flush()
    except BrokenPipeError:  # the reader closed the output: `python predict.py … | head`
        return 0
    if num_errors:
        print(
            f'{num_errors:,} inputs could not be used: see "error" in the output', file=sys.stderr
        )
    return 0


def chunks(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Yield lists of `size` inputs; the last one may be shorter."""
    iterator = iter(inputs)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def as_json(values: dict[str, Any], prediction: Prediction) -> str:
    """Return a line of JSON: the input's values, then its prediction."""
    return json.dumps({**values, **prediction}, ensure_ascii=False, default=str) + "\n"


def as_tsv(values: dict[str, Any], prediction: Prediction) -> str:
    """Return a line of TSV: the prediction, its probability, and the text."""
    if "masks" in prediction:
        best = [tokens[0] for tokens in prediction["masks"]]
        result = " ".join(token["token"] for token in best)
        probability = min(token["probability"] for token in best)
    elif "tags" in prediction:
        result = " ".join(prediction["tags"])
        probability = min(prediction["probabilities"])
    else:
        names = (name for name in ("label", "score", "text", "error") if name in prediction)
        result = prediction[next(names)]
        probability = prediction.get("probability", "")
    cells = (str(result), str(probability), main_text(values))
    return "\t".join(" ".join(cell.split()) for cell in cells) + "\n"


@contextlib.contextmanager
def open_output(name: str) -> Iterator[TextIO]:
    """Open a file to write, or standard output.

    The file is written as NAME.partial and gets its name once it is complete.
    """
    path = Path(name)
    is_regular_file = name != "-" and (path.is_file() or not path.exists())
    if is_regular_file:
        path = path.resolve()
    partial = path.with_name(path.name + ".partial") if is_regular_file else path
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
    if is_regular_file:
        os.replace(partial, path)


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    config = tyro.cli(PredictConfig, prog="predict.py", description=__doc__)
    return main(config)


if __name__ == "__main__":
    sys.exit(command_line())
