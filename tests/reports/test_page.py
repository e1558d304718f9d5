"""Errors in report.html: the command that explores each of them, or the page that it saved."""

import html
import re
import shlex
import subprocess

import pytest

from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.squad import Answer, Question
from bert_jax.labelled.texts import TextExample
from bert_jax.reports.page import Explorer, make_page, quote
from bert_jax.reports.report import make_report, write_report
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.tagging import TagExample, Tagging

TASK = Classification(("a", "b"))


def write(folder, texts, model="runs/my run/model"):
    golds = [TextExample("", text, text_b, "a") for text, text_b in texts]
    predictions = [{"label": "b", "probability": 0.9 - i / 100} for i in range(len(texts))]
    encoded = [EncodedText([0] * 3, 3, {}, i) for i in range(len(texts))]
    write_report(folder, "run", {"dev": make_report(TASK, golds, encoded, predictions)}, model)
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page, [html.unescape(x) for x in re.findall(r"<code>(.*?)</code>", page, re.DOTALL)]


@pytest.mark.parametrize(
    "text", ["it's $HOME", "a\ttab's \\ end", "two\nlines", "-1 star", "한글 “quotes”", "`ls` !x"]
)
def test_a_shell_reads_a_quoted_text_as_it_was(text):
    quoted = quote(text)
    assert not {"\t", "\n"} & {*quoted}
    out = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, text=True, check=True
    ).stdout
    assert out == (f" {text}" if text.startswith("-") else text)


def test_each_error_has_a_command_that_saves_its_page(tmp_path):
    _, commands = write(tmp_path, [("it's", None), ("first", "second")])
    start = ["python", "explore.py", "runs/my run/model", "--save"]
    assert shlex.split(commands[0]) == [*start, f"{tmp_path}/pages/dev-1.html", "it's"]
    assert commands[1].endswith(r"/pages/dev-2.html' $'first\tsecond'") or commands[1].endswith(
        r"/pages/dev-2.html $'first\tsecond'"
    )


def test_an_error_that_was_explored_has_a_link_to_its_page(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "dev-1.html").write_text("a page")
    page, commands = write(tmp_path, [("one", None), ("two", None)])
    assert re.findall(r'href="(.*?)"', page) == ["pages/dev-1.html"]
    assert len(commands) == 1


def test_a_report_without_a_model_has_no_commands(tmp_path):
    page, commands = write(tmp_path, [("one", None)], model="")
    assert commands == []
    assert "explore.py" not in page


def test_a_run_in_a_store_saves_pages_in_this_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path))
    explorer = Explorer("gs://b/run/model", tmp_path / "written" / "gs" / "b" / "run")
    command = explorer.command("pages/dev-1.html", "x")
    assert command == "python explore.py gs://b/run/model --save dev-1.html x"


def test_questions_and_words_are_given_as_the_explorer_takes_them():
    question = Question("", "Who?", "Bob did.", (Answer("Bob", 0),))
    one = {"text": "did", "none_margin": -1.0, "probability": 0.7, "none_probability": 0.2}
    encoded = [EncodedText([0] * 3, 3, {}, 0)]
    report = make_report(QuestionAnswering(), [question], encoded, [one])
    assert report["wrong"][0]["input"] == "Who?\tBob did."
    tagged = TagExample("", ("Bob", "did"), ("B-X", "O"))
    predicted = [{"tags": ["O", "O"], "probabilities": [0.9, 0.9]}]
    report = make_report(Tagging(("O", "B-X")), [tagged], encoded, predicted)
    assert report["wrong"][0]["text"] == "Bob did"
    assert "input" not in report["wrong"][0]


def test_a_page_without_errors_says_so():
    gold = [TextExample("", "x", None, "a")]
    predicted = [{"label": "a", "probability": 0.9}]
    report = make_report(TASK, gold, [EncodedText([0], 1, {}, 0)], predicted)
    assert "<h3>Errors</h3><p>None.</p>" in make_page("run", {"dev": report})
