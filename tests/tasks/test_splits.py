import pytest

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.splits import read_columns, read_splits
from tests.tasks.tiny import TOKENIZER


def read(path, content, kind="classification", **options):
    path.write_text(content)
    config = FinetuneConfig(kind, "", str(path), str(path), max_length=8, **options)
    rejects, log = Rejects(), []
    return *read_splits(KINDS[kind], config, TOKENIZER, rejects, log.append), log


def test_a_file_with_too_many_unusable_rows_is_refused(tmp_path):
    lines = ["text\tlabel", *(f"a {i}\t{i % 2}" for i in range(8)), "a\t", "b\t"]
    table = "\n".join(lines)
    counts = r"train data .*: 2 of 10 rows cannot be used: 2 rejected: label empty"
    with pytest.raises(DataError, match=counts + r"(.|\n)*10%(.|\n)*--max-rejected 0\.2$"):
        read(tmp_path / "a.tsv", table)
    _, data, _ = read(tmp_path / "a.tsv", table, max_rejected=0.2)
    assert len(data["train"].examples) == 8
    blank = "\n\n".join(lines[:9])
    assert len(read(tmp_path / "a.tsv", blank)[1]["train"].examples) == 8


def test_the_reason_is_shown_if_no_row_can_be_used(tmp_path):
    with pytest.raises(DataError, match=r"no row can be used: 2 rejected: text missing"):
        read(tmp_path / "a.jsonl", '{"text": null, "label": 1}\n' * 2)


def test_what_is_truncated_is_logged_and_the_columns_are_kept(tmp_path):
    table = "sentence\tlabel\na b c d e f g\t1\na b c d e f\t0\n"
    task, _, log = read(tmp_path / "a.tsv", table)
    assert any("1 examples truncated to 8 tokens" in line for line in log)
    config = FinetuneConfig("classification", "", str(tmp_path / "a.tsv"), "")
    assert read_columns(task, config) == {"text": "sentence"}
