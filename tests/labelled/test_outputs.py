"""Outputs of predict.py: complete, or the last one is left."""

import os

import pytest

from bert_jax.errors import DataError
from bert_jax.labelled.inputs import as_input
from bert_jax.labelled.outputs import Summary, as_tsv, open_output


def write_to_a_full_disk(output, at_once):
    with open_output(str(output)) as file:
        file.write("half a line")
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file.fileno())
        os.close(full)
        if at_once:
            file.flush()


@pytest.mark.parametrize("at_once", [True, False])  # or when the file is closed
def test_a_full_disk_leaves_the_last_output_and_no_other(tmp_path, at_once):
    output = tmp_path / "out.jsonl"
    output.write_text("of yesterday\n")
    with pytest.raises(DataError, match=r"out\.jsonl cannot be written: No space(.|\n)*space"):
        write_to_a_full_disk(output, at_once)
    assert output.read_text() == "of yesterday\n"
    assert list(tmp_path.iterdir()) == [output]


def test_an_interrupted_output_leaves_the_last_one(tmp_path):
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), open_output(str(output)):
        raise KeyboardInterrupt
    assert not [*tmp_path.iterdir()]


def test_labels_that_may_have_spaces_are_told_apart_in_tsv():
    prediction = {"labels": ["very good", "cheap"], "probabilities": {}}
    assert as_tsv(as_input("a text"), prediction) == "very good; cheap\t\ta text\n"


def test_no_answer_is_given_only_in_files_that_tell_which_questions_have_none():
    summary = Summary()
    for values in ({"id": "x"}, {"id": "y", "is_impossible": False}, {"question": "without id"}):
        summary.add(as_input(values), {"text": "the sea", "none_margin": 1.0})
    assert summary.answers == {"x": "the sea", "y": ""}
