"""Split labelled data into training and held-out data, where a data set has none to choose on.

    python benchmarks/splits.py data/nsmc/ratings_train.txt data/nsmc --dev 5000
    python benchmarks/splits.py tfds:imdb_reviews:train data/imdb --dev 5000
    python benchmarks/splits.py KorQuAD_v1.0_dev.json data/korquad --dev 28

Tables are written as train.jsonl and dev.jsonl, SQuAD's JSON, which is split by article, as
train.json and dev.json. What is held out is spaced evenly over the file, so files that are sorted
by label split well.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from bert_jax.config.check import require
from bert_jax.errors import report_user_errors
from bert_jax.filesystem import write_text
from bert_jax.labelled.files import MAX_JSON_FILE_BYTES, read_text_file
from bert_jax.labelled.json_rows import is_json_list
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import questions_of
from bert_jax.labelled.tables import read_table, table_format


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the split."""

    data: tyro.conf.Positional[str]
    """Labelled data: a table, as finetune.py reads it, or SQuAD's JSON."""
    output: tyro.conf.Positional[str]
    """Folder to write to."""
    dev: int
    """Number of rows, or of articles, to hold out."""


def main(options: Options) -> None:
    """Write both parts, and print their sizes."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    is_squad = table_format(options.data) == "json" and not is_json_list(options.data)
    if is_squad:
        content = json.loads(read_text_file(options.data, MAX_JSON_FILE_BYTES))
        for name, articles in split(content["data"], options.dev).items():
            text = json.dumps({**content, "data": articles}, ensure_ascii=False)
            write_text(folder / f"{name}.json", text)
            num_questions = len(questions_of({"data": articles}))
            print(f"{folder}/{name}.json: {len(articles):,} articles, {num_questions:,} questions")
        return
    rejects = Rejects()
    rows = [record.values for record in read_table(options.data, rejects).records]
    for line in rejects.summary():
        print(f"warning: {line}")
    for name, part in split(rows, options.dev).items():
        lines = (json.dumps(row, ensure_ascii=False) for row in part)
        write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
        print(f"{folder}/{name}.jsonl: {len(part):,} rows")


def split(items: Sequence[Any], num_dev: int) -> dict[str, list[Any]]:
    """Return the items of both parts, in their order; items 0, N / n, 2 N / n, … are held out.

    Raises:
        ConfigError: nothing would be left to train on, or nothing held out.
    """
    count = len(items)
    require(0 < num_dev < count, "dev", num_dev, f"more than 0 and less than {count:,}")
    held_out = {i * count // num_dev for i in range(num_dev)}
    return {
        "train": [item for i, item in enumerate(items) if i not in held_out],
        "dev": [item for i, item in enumerate(items) if i in held_out],
    }


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    main(tyro.cli(Options, description=__doc__))
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
