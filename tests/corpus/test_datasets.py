from pathlib import Path

import pytest

from bert_jax.corpus.datasets import REPORT, remove_if_unfinished, start_dataset

SHARDS = ("train-00000-00001.tmp", "eval-00000-00000.partial", "features.json",
          "pretraining-train.array_record-00000-of-00001")  # fmt: skip


def write(folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("content")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_new_data_set_removes_an_earlier_one_and_nothing_else(tmp_path):
    write(tmp_path / "T32", (*SHARDS, "mine.txt", "config.json"))
    start_dataset(tmp_path / "T32")
    assert names(tmp_path) == {"T32", "T32/mine.txt", "T32/config.json"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_after_an_error_nothing_unfinished_is_left(tmp_path, error):
    write(tmp_path / "T64", (*SHARDS, "mine.txt"))
    write(tmp_path / "T32", SHARDS)
    write(tmp_path / "beam", ("findings.json",))
    write(tmp_path / "tokenizer", ("vocab.txt",))
    with pytest.raises(error), remove_if_unfinished(tmp_path, (32, 64, 128)):
        raise error
    assert names(tmp_path) == {"T64", "T64/mine.txt", "tokenizer", "tokenizer/vocab.txt"}


def test_what_is_finished_stays_after_an_error(tmp_path):
    write(tmp_path / "T32", SHARDS)
    write(tmp_path, (REPORT,))
    before = names(tmp_path)
    with pytest.raises(OSError, match="early"), remove_if_unfinished(tmp_path, (32,)):
        raise OSError("early")
    with remove_if_unfinished(tmp_path, (32,)):
        pass
    assert names(tmp_path) == before
