"""translate.py with a trained model: files, standard input, typed lines, alignments."""

import io
import sys

import pytest

import translate
from bert_jax.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def trained(trained_words):
    return trained_words


def use(run, file="-", **options):
    return translate.TranslateConfig(str(run), str(file), **options)


def test_a_file_is_translated_line_by_line(trained, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("one two\n\nfive § four\n", encoding="utf-8")
    output = tmp_path / "out.txt"

    used = use(trained, tmp_path / "in.txt", output=str(output))
    assert translate.main(used) == 0

    lines = output.read_text(encoding="utf-8").split("\n")
    assert lines[:2] == ["eins zwei", ""]
    assert len(lines) == 4
    errors = capsys.readouterr().err
    assert "1 of 3 lines have symbols outside the vocabulary, the first at" in errors
    assert "in.txt:3: §" in errors


def test_lines_of_standard_input_end_at_line_breaks_alone(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\u2028two\nfive\n"))
    capsys.readouterr()

    assert translate.main(use(trained)) == 0

    assert capsys.readouterr().out == "eins zwei\nfünf\n"


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_translated(
    trained, tmp_path
):
    used = use(trained, tmp_path / "no.txt", output=str(tmp_path / "no" / "out.txt"))

    with pytest.raises(ConfigError, match="there is no folder"):
        translate.main(used)


def test_typed_lines_are_answered_and_one_too_long_ends_nothing(trained, capsys, monkeypatch):
    typed = io.StringIO("one " * 600 + "\ntwo two\n\n")
    monkeypatch.setattr(typed, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", typed)

    assert translate.main(use(trained)) == 0

    captured = capsys.readouterr()
    assert captured.out.split("\n")[-2] == "zwei zwei"
    assert "your text: a sentence of" in captured.err


def test_an_alignment_is_drawn(trained):
    assert translate.main(use(trained, align="one three")) == 0

    picture = (trained / "plots" / "alignment.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "eins drei" in picture


def test_a_line_longer_than_the_model_reads_is_refused_with_its_place(trained, tmp_path):
    (tmp_path / "in.txt").write_text("one\n" + "one " * 600 + "\n", encoding="utf-8")

    with pytest.raises(
        DataError,
        match=r"in\.txt:2: a sentence of [\d,]+ tokens(.|\n)*the longest text that the model reads",
    ) as caught:
        translate.main(use(trained, tmp_path / "in.txt"))
    assert "positions" not in str(caught.value)  # an LSTM has none
