"""config.json of other people: labels that contradict each other, and classifier_dropout."""

import json

import pytest

from bert_jax.config import BertConfig
from bert_jax.errors import ConfigError
from bert_jax.interop.config_json import make_config_json, read_config, read_labels

CONFIG = BertConfig(vocab_size=100)
NAMES = {"0": "no", "1": "yes"}


def parse(tmp_path, **changes):
    values = json.loads(make_config_json(CONFIG, "BertForSequenceClassification", ("no", "yes")))
    values = {name: x for name, x in {**values, **changes}.items() if x is not None}
    (tmp_path / "config.json").write_text(json.dumps(values))
    return read_config(tmp_path / "config.json")


@pytest.mark.parametrize("stale", [{"LABEL_0": 0, "LABEL_1": 1}, {"no": 1, "yes": 0}, [], "no", 7])
def test_id2label_decides_and_one_line_is_logged(tmp_path, stale):
    logged = []
    assert read_labels(parse(tmp_path, label2id=stale), logged.append) == ("no", "yes")
    line = f"label2id = {stale!r} is not the inverse of id2label, which is used"
    assert logged == [f"{tmp_path}/config.json: {line}"]


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({}, ("no", "yes")),
        ({"label2id": None}, ("no", "yes")),
        ({"id2label": None}, ("no", "yes")),
        ({"id2label": None, "label2id": None}, ()),
        ({"id2label": None, "label2id": None, "num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
    ],
)
def test_labels_are_read_from_what_is_there(tmp_path, changes, labels):
    logged = []
    assert read_labels(parse(tmp_path, **changes), logged.append) == labels
    assert logged == []


@pytest.mark.parametrize(
    "changes",
    [
        {"id2label": {"0": "no", "1": "no"}},
        {"id2label": {"0": "no", "2": "yes"}},
        {"id2label": {"0": "no", "1": 1}},
        {"id2label": ["no", "yes"]},
        {"id2label": None, "label2id": {"no": "a"}},
        {"id2label": None, "label2id": None, "num_labels": 1 << 40},
        {"id2label": None, "label2id": None, "num_labels": True},
    ],
)
def test_labels_that_cannot_be_used_are_refused_only_where_they_are_read(tmp_path, changes):
    parsed = parse(tmp_path, **changes)  # an encoder needs none
    with pytest.raises(ConfigError) as caught:
        read_labels(parsed, print)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("rate", [None, 0, 0.5])
def test_classifier_dropout_is_kept(tmp_path, rate):
    config = parse(tmp_path, **{} if rate is None else {"classifier_dropout": rate}).config
    assert config.classifier_dropout == rate
    assert config.head_dropout_prob == (0.1 if rate is None else rate)
    written = json.loads(make_config_json(config, "BertModel"))
    assert written["classifier_dropout"] == rate
