"""Predict with a trained model: `python predict.py MODEL_DIR [FILE | -]`.

Fine-tuned models predict classes, scores, tags or answers; pretrained ones fill each [MASK]. Input
is read as finetune.py reads it: one text per line, TSV, CSV, JSON, Parquet, CoNLL for taggers, or
SQuAD's JSON for question answering. Output is JSONL or TSV, one line per input, in order; the
input's own columns are kept, and a prediction whose name is taken becomes "predicted_…". Exit
codes: 0 done (also if the output was closed by its reader), 2 configuration, 3 data, 4 no usable
checkpoint, 130 Ctrl-C.

Examples:
    python predict.py runs/texts reviews.txt -o predictions.tsv
    python predict.py runs/tiny --top-k 3 < sentences.txt
    python predict.py runs/texts new.csv --columns.text comment -o new.jsonl
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated

import tyro

import bert_jax
from bert_jax.config.check import require
from bert_jax.config.command_line import read_options
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import write_text
from bert_jax.labelled.inputs import Input, InputColumns, InputFormat, read_inputs
from bert_jax.labelled.outputs import Summary, as_json, as_tsv, open_output
from bert_jax.labelled.progress import RowProgress
from bert_jax.nn.execution import Dtype
from bert_jax.progress import Progress
from bert_jax.remote.addresses import local_path

TOPICS = {
    "input and output": ("model", "file", "output", "format", "tsv", "columns", "max_rejected"),
    "predictions": ("top_k", "answers"),
    "machine": ("batch_size", "dtype"),
}
CHUNK = 4096  # inputs that are sorted by length and predicted together
CHUNK_CHARS = 1 << 26  # a chunk of long inputs has fewer of them


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Model, input and output of predictions."""

    model: tyro.conf.Positional[str]
    """A run of finetune.py or pretrain.py, or a Hugging Face directory."""
    file: tyro.conf.Positional[str] = "-"
    """File of inputs, or tfds:NAME[:SPLIT]; "-" is standard input."""
    format: InputFormat = "auto"
    """Input format; "auto" goes by the file's ending, else by its first lines."""
    columns: InputColumns = dataclasses.field(default_factory=InputColumns)
    """Columns of a table, by name, or by number from 1."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "-"
    """File to write, as TSV if its name ends in .tsv; "-" is standard output."""
    tsv: bool = False
    """Write TSV: label, score, tags or answer, then the probability, then the text, then the
    input's own label or tags if it has some."""
    answers: str | None = None
    """Question answering: also write {id: answer} to this file, for SQuAD's evaluation script."""
    max_rejected: float = 1.0
    """Share of the inputs that may be unusable; if more are, or all, nothing is written to the
    output file and the exit code is 3."""
    top_k: int = 5
    """Tokens to predict for each [MASK]."""
    batch_size: int = 32
    """Rows of 64 tokens in a batch of each device; short inputs share a row."""
    dtype: Dtype = "float32"
    """Dtype of matrix products; bfloat16 is faster on GPUs and TPUs."""

    def __post_init__(self):
        share = self.max_rejected
        require(0 <= share <= 1, "max_rejected", share, "a share from 0 to 1")


def main(config: PredictConfig) -> int:
    """Read inputs, predict, write the predictions; return the exit code."""
    answers = None if config.answers is None else local_path(config.answers)
    model = bert_jax.load(config.model, dtype=config.dtype)
    if model.task is None:
        model.require_mlm()
    if config.answers is not None and model.reading.kind != "question_answering":
        raise ConfigError(
            f"answers = {config.answers!r}, but the model answers no questions",
            "a model that was fine-tuned for question answering",
            "leave out --answers",
        )
    is_tsv = config.tsv or config.output.endswith(".tsv")
    as_line = as_tsv if is_tsv else as_json
    summary = Summary()
    try:
        scrolls_by = config.output == "-" and sys.stdout.isatty()  # the predictions themselves
        shown = Progress("predictions", unit="rows", shown=not scrolls_by)
        with open_output(config.output) as output, shown:
            inputs = read_inputs(config.file, config.format, config.columns, model.reading)
            print(inputs.description, file=sys.stderr)
            progress = RowProgress(shown, inputs.fraction)
            for chunk in chunks(inputs.rows):
                of_chunk = progress.start_chunk(len(chunk))
                predictions = model.predict_inputs(
                    chunk, config.top_k, config.batch_size, progress=of_chunk
                )
                for example, prediction in zip(chunk, predictions, strict=True):
                    output.write(as_line(example, prediction))
                    summary.add(example, prediction)
                output.flush()
            summary.check(config.max_rejected)
    except BrokenPipeError:  # the reader closed the output: `python predict.py … | head`
        return 0
    if answers is not None:
        write_text(answers, json.dumps(summary.answers, ensure_ascii=False) + "\n")
    summary.report(model.max_length, is_tsv)
    return 0


def chunks(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    """Yield lists of at most CHUNK inputs and about CHUNK_CHARS characters."""
    chunk: list[Input] = []
    size = 0
    for example in inputs:
        chunk.append(example)
        size += sum(len(value) for value in example.values.values() if isinstance(value, str))
        if len(chunk) == CHUNK or size >= CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(read_options(PredictConfig, "predict.py", __doc__, TOPICS))


if __name__ == "__main__":
    sys.exit(command_line())
