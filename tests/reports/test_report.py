"""Reports worked by hand, and a page that loads nothing and runs nothing."""

import html.parser
import json
import math

import numpy as np
import pytest

from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.multilabel import MultiLabelExample
from bert_jax.labelled.squad import Answer, Question
from bert_jax.labelled.texts import TextExample
from bert_jax.reports.report import make_report, write_report
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.multilabel import MultiLabel
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.tagging import TagExample, Tagging

TASK = Classification(("a", "b", "c"))
# True class, predicted class, its probability, number of tokens.
PREDICTED = [
    ("a", "a", 0.95, 9),
    ("a", "a", 0.92, 3),
    ("a", "b", 0.55, 8),
    ("b", "b", 0.98, 4),
    ("b", "c", 0.99, 7),
    ("b", "b", 0.52, 5),
    ("c", "a", 0.71, 6),
]


def rows(lengths):
    return [EncodedText([0] * length, length, {}, i) for i, length in enumerate(lengths)]


def examples(predicted=PREDICTED, text="text {}"):
    return [TextExample("", text.format(i), None, gold) for i, (gold, *_) in enumerate(predicted)]


def report(predicted=PREDICTED, **options):
    predictions = [{"label": label, "probability": p} for _, label, p, _ in predicted]
    encoded = rows([length for *_, length in predicted])
    result = make_report(TASK, examples(predicted), encoded, predictions, **options)
    return json.loads(json.dumps(result, allow_nan=False))


def test_confusion_and_classes_by_hand():
    result = report()
    assert result["examples"] == 7
    assert result["confusion"] == {
        "labels": ["a", "b", "c"],
        "counts": [[2, 1, 0], [0, 2, 1], [1, 0, 0]],
    }
    two_thirds = pytest.approx(2 / 3)
    assert result["by_class"] == {
        "a": {"precision": two_thirds, "recall": two_thirds, "f1": two_thirds, "support": 3},
        "b": {"precision": two_thirds, "recall": two_thirds, "f1": two_thirds, "support": 3},
        "c": {"precision": 0, "recall": 0, "f1": 0, "support": 1},
    }
    assert result["scores"]["accuracy"]["value"] == pytest.approx(4 / 7)
    assert result["scores"]["f1_macro"]["value"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_calibration_by_hand():
    result = report()["calibration"]
    # Mean confidence, accuracy and size of the bins from 0.5, from 0.7 and from 0.9.
    expected = [(0.535, 0.5, 2), (0.71, 0.0, 1), (0.96, 0.75, 4)]
    assert result["bins"] == [pytest.approx(one) for one in expected]
    error = sum(n / 7 * abs(confidence - accuracy) for confidence, accuracy, n in expected)
    assert result["expected_error"] == pytest.approx(error)


def test_errors_are_listed_with_the_most_confident_first():
    assert report()["wrong"] == [
        {"text": f"text {i}", "gold": g, "predicted": s, "correct": 0.0, "confidence": p}
        for i, g, s, p in [(4, "b", "c", 0.99), (6, "c", "a", 0.71), (2, "a", "b", 0.55)]
    ]
    many = report([("a", "b", 0.5 + i / 1000, 3) for i in range(150)])["wrong"]
    assert len(many) == 100
    assert many[0]["confidence"] == 0.649


def test_groups_by_length_by_hand():
    # Seven examples in six groups: the shortest two together.
    groups = [tuple(group.values()) for group in report()["by_length"]]
    assert groups == [
        (3, 4, 2, 1.0), (5, 5, 1, 1.0), (6, 6, 1, 0.0), (7, 7, 1, 0.0), (8, 8, 1, 0.0),
        (9, 9, 1, 1.0),
    ]  # fmt: skip
    assert len(report(PREDICTED[:2])["by_length"]) == 2


def test_texts_of_one_length_are_in_one_group():
    lengths = [64] * 30 + [5, 6, 6, 7, 8, 8]
    groups = report([("a", "a", 0.9, length) for length in lengths])["by_length"]
    spans = [(group["shortest"], group["longest"], group["examples"]) for group in groups]
    assert spans == [(5, 8, 6), (64, 64, 30)]
    (only,) = report([("a", "a", 0.9, 64)] * 5)["by_length"]
    assert (only["shortest"], only["longest"], only["examples"]) == (64, 64, 5)


def test_the_calibration_of_tags_is_that_of_words():
    golds = [TagExample("", ("a", "b", "c"), ("O", "O", "B-X")), TagExample("", ("d",), ("O",))]
    predictions = [
        {"tags": ["O", "B-X", "B-X"], "probabilities": [0.95, 0.55, 0.92]},
        {"tags": ["O"], "probabilities": [0.58]},
    ]
    result = make_report(Tagging(("O", "B-X")), golds, rows([5, 3]), predictions)["calibration"]
    assert result["of"] == "the tag of each word"
    assert result["bins"] == [pytest.approx(one) for one in ((0.565, 0.5, 2), (0.935, 1.0, 2))]


def test_labels_of_a_text_have_a_row_each_and_no_confusion_matrix(tmp_path):
    task = MultiLabel(("x", "<y>"), thresholds=(0.5, 0.25))
    golds = [MultiLabelExample("", "t1", None, ("x", "<y>")), MultiLabelExample("", "t2", None, ())]
    predictions = [
        {"labels": ["x"], "probabilities": {"x": 0.9, "<y>": 0.2}},
        {"labels": [], "probabilities": {"x": 0.1, "<y>": 0.1}},
    ]
    result = make_report(task, golds, rows([3, 4]), predictions)
    assert "confusion" not in result
    assert result["calibration"]["of"] == "each label of each text"
    assert sum(size for *_, size in result["calibration"]["bins"]) == 4
    assert result["by_class"]["<y>"] == {
        "precision": 0, "recall": 0, "f1": 0, "average_precision": 1, "support": 1,
        "threshold": 0.25,
    }  # fmt: skip
    write_report(tmp_path, "run", {"dev": result})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    at = page.texts.index("<y>")
    assert page.texts[at : at + 7] == ["<y>", "0.0000", "0.0000", "0.0000", "1.0000", "1", "0.2500"]


def test_a_score_that_is_undefined_is_null_in_the_file_and_a_dash_in_the_page(tmp_path):
    class Undefined(Classification):
        def score(self, examples, predictions):
            return {"accuracy": math.nan}

    predictions = [{"label": "a", "probability": 0.9}] * 2
    golds = [TextExample("", "t", None, label) for label in "ab"]
    result = make_report(Undefined(("a", "b")), golds, rows([3, 3]), predictions)
    write_report(tmp_path, "run", {"dev": result})
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    saved = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert saved["dev"]["scores"] == {"accuracy": {"value": None, "low": None, "high": None}}
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "–" in page.texts


def test_warnings_are_in_the_page(tmp_path):
    predicted = [("a" if i % 3 else "b", "a", 0.9, 3) for i in range(12)]
    (warning,) = report(predicted)["warnings"]
    write_report(tmp_path, "run", {"dev": report(predicted)})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"Warning: {warning}" in page.texts
    assert report()["warnings"] == []


def test_a_score_lies_in_its_interval_and_the_interval_is_that_of_a_share():
    predicted = [("a" if i % 2 else "b", "a", 0.9, 3) for i in range(50)]
    predicted += [("a", "a", 0.9, 3)] * 150
    score = report(predicted)["scores"]["accuracy"]
    assert score["value"] == 175 / 200
    margin = 1.96 * math.sqrt(0.875 * 0.125 / 200)  # the normal approximation
    assert score["low"] == pytest.approx(0.875 - margin, abs=0.01)
    assert score["high"] == pytest.approx(0.875 + margin, abs=0.01)
    assert report(predicted) == report(predicted)
    assert report(predicted, seed=1)["scores"] != report(predicted)["scores"]
    for one in report()["scores"].values():
        assert one["low"] <= one["value"] <= one["high"]
    perfect = report([("a", "a", 0.9, 3), ("b", "b", 0.9, 3)] * 3)["scores"]["accuracy"]
    assert perfect == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_numbers_have_neither_classes_nor_confidence_and_the_worst_is_first():
    golds = [TextExample("", f"text {i}", None, str(i)) for i in range(5)]
    predictions = [{"score": score} for score in (0.0, 3.0, 2.0, 2.0, 4.0)]
    result = make_report(Regression(), golds, rows([3] * 5), predictions)
    assert not {"calibration", "confusion", "by_class"} & set(result)
    assert [(w["text"], w["correct"], w["confidence"]) for w in result["wrong"]] == [
        ("text 1", 0.5, None),
        ("text 3", 0.75, None),
    ]
    json.dumps(result, allow_nan=False)


def test_the_windows_of_one_passage_are_one_length():
    questions = [Question("", "q", "one", (Answer("one", 0),)), Question("", "q", "two", ())]
    predictions = [
        {"text": "one", "none_margin": -1.0, "probability": 0.8, "none_probability": 0.1},
        {"text": "two", "none_margin": -1.0, "probability": 0.7, "none_probability": 0.2},
    ]
    windows = [
        EncodedText([0] * 9, 3, {}, 0),
        EncodedText([0] * 9, 3, {}, 0),
        EncodedText([0] * 5, 3, {}, 1),
    ]
    result = make_report(QuestionAnswering(), questions, windows, predictions)
    assert [(g["shortest"], g["correct"]) for g in result["by_length"]] == [(5, 0.0), (18, 1.0)]
    assert [(w["gold"], w["predicted"], w["confidence"]) for w in result["wrong"]] == [
        ("", "two", 0.7)
    ]
    assert "confusion" not in result
    assert result["calibration"]["of"] == "the answer to each question"


class Page(html.parser.HTMLParser):
    """Tags, attributes and texts of an HTML page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


EVIL = '<script>alert(1)</script><img src="http://x" onerror=alert(1)> {} \' "&amp; 한글'


def test_a_page_loads_nothing_and_runs_nothing(tmp_path):
    task = Classification(("<b>a", "</td>b", '"><i>c'))
    golds = [TextExample("", EVIL, EVIL, label) for label in task.labels]
    predictions = [{"label": "<b>a", "probability": 0.9}] * 3
    result = make_report(task, golds, rows([5, 6, 7]), predictions)
    reports = {"dev": result, "<script>": result}
    write_report(tmp_path / "new" / "folder", "runs/<script>", reports, "runs/<script>/model")
    text = (tmp_path / "new" / "folder" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags == {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "table", "tr", "th",
        "td", "svg", "text", "rect", "line", "circle", "p", "div", "details", "summary", "code",
    }  # fmt: skip
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "xlink:href", "srcset", "data", "action", "style"}
    assert not [name for name in names if name.startswith("on")]
    assert {value for _, value in page.attributes if "//" in (value or "")} == {
        "http://www.w3.org/2000/svg"
    }
    assert "url(" not in text
    assert "@import" not in text
    assert page.texts.count(f"{EVIL} | {EVIL}") == 2 * 2  # two errors in two reports
    assert {"runs/<script>", "<script>: 3 examples", "</td>b", '"><i>c'} <= set(page.texts)


def test_the_page_shows_the_numbers_and_the_pictures(tmp_path):
    write_report(tmp_path, "run", {"dev": report()})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    result = report()
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == {"dev": result}
    for score in result["scores"].values():
        assert f"{score['value']:.4f}" in page.texts
        assert f"{score['low']:.4f} … {score['high']:.4f}" in page.texts
    radii = [value for name, value in page.attributes if name == "r"]
    assert len(radii) == 3  # a circle for each bin
    titles = [text for text in page.texts if text.startswith(("Confusion", "Calibration", "Mean"))]
    assert len(titles) == 3
    assert {"3–4", "5–5", "9–9"} <= set(page.texts)
    # The cells of the confusion matrix, row by row.
    cells = [text for text in page.texts if text.isdigit() and len(text) == 1]
    assert "".join(cells).find("210021100") >= 0


def test_half_a_character_does_not_lose_the_report(tmp_path):
    predictions = [{"label": "b", "probability": 0.9}] * 2
    golds = [TextExample("", "half \ud83d", None, label) for label in "ab"]
    write_report(tmp_path, "run", {"dev": make_report(TASK, golds, rows([3, 3]), predictions)})
    assert "half ?" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (wrong,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["dev"]["wrong"]
    assert wrong["text"] == "half ?"


def test_an_interval_is_the_percentiles_of_scores_of_resampled_examples():
    rng, correct = np.random.default_rng(0), np.array([g == s for g, s, *_ in PREDICTED])
    shares = [correct[rng.integers(0, 7, 7)].mean() for _ in range(1000)]
    score = report()["scores"]["accuracy"]
    assert [score["low"], score["high"]] == pytest.approx(np.percentile(shares, [2.5, 97.5]))
