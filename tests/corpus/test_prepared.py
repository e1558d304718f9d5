import json
from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import PrepareConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError, DataError
from prepare import main as prepare


@pytest.fixture
def folder(tmp_path, text) -> Path:
    (tmp_path / "text.txt").write_text(text(40))
    output = tmp_path / "prepared"
    prepare(
        PrepareConfig((str(tmp_path / "text.txt"),), str(output), lengths=(32,), vocab_size=150,
                      eval_share=0)
    )  # fmt: skip
    return output


def test_what_it_knows(folder):
    data = PreparedData(folder)
    data.check()
    assert data.lengths == (32,)
    assert data.tokenizer.sha256 == data.tokenizer_sha256
    assert data.tokenizer_folder == folder / "tokenizer"
    assert 2 < data.unigram_loss < 5
    assert data.unigram_loss == data.report["unigram_loss"] != data.report["unigram_entropy"]
    del data.report["unigram_loss"]  # as written by an earlier version
    assert data.unigram_loss == data.report["unigram_entropy"]
    assert 0.5 <= data.nsp_majority(data.lengths[0]) < 0.8
    assert len(data.fingerprint) == 64
    assert len(data.rows(32, "train")) == data.report["datasets"]["32"]["splits"]["train"]["rows"]


def test_the_nsp_majority_is_that_of_the_held_out_pairs_of_a_length(prepared):
    data = PreparedData(prepared)
    for length in data.lengths:
        rows = data.rows(length, "eval")[np.arange(len(data.rows(length, "eval")))]
        is_random = rows["is_random_next"][rows["lengths"][..., 0] > 0]
        share = is_random.mean()
        assert data.nsp_majority(length) == pytest.approx(max(share, 1 - share))


def test_an_unfinished_folder_is_refused(folder):
    (folder / "report.json").unlink()
    with pytest.raises(DataError, match="no finished prepared data"):
        PreparedData(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "is damaged: "),
        (lambda text: "[]", "is damaged: "),
        (lambda text: text.replace('"max_sequences"', '"other"'), "max_sequences is None, not of"),
        (lambda text: text.replace('"sha256"', '"other"'), "sha256 is None, not of type str"),
        (lambda text: text.replace('"shards"', '"other"'), "is damaged: 'shards'"),
        (lambda text: text.replace('"bytes": ', '"bytes": "x", "": '), "is 'x', not of type int"),
    ],
)
def test_a_damaged_report_is_refused_in_three_lines(folder, damage, message):
    path = folder / "report.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        PreparedData(folder)
    assert str(path) in str(caught.value)
    assert str(caught.value).count("\n") == 2


def test_reports_of_earlier_versions_are_of_rows_with_nsp(folder):
    path = folder / "report.json"
    report = json.loads(path.read_text())
    del report["config"]["nsp"]
    path.write_text(json.dumps(report))
    data = PreparedData(folder)
    assert data.nsp
    assert "is_random_next" in data.rows(32)[np.arange(2)]


def test_a_length_that_is_not_there_is_refused_with_those_that_are(folder):
    with pytest.raises(DataError, match=r"no rows of length 512(.|\n)*one of 32") as caught:
        PreparedData(folder).rows(512)
    assert "--lengths 32 512" in str(caught.value)


def test_a_split_that_is_not_there_is_refused(folder):
    with pytest.raises(DataError, match=r"no split 'eval'(.|\n)*--eval-share"):
        PreparedData(folder).rows(32, "eval")


def test_a_changed_tokenizer_is_refused(folder):
    path = folder / "tokenizer" / "vocab.txt"
    path.write_text(path.read_text() + "more\n")
    with pytest.raises(ConfigError, match=r"has 'more', but tokenizer\.json has ''"):
        _ = PreparedData(folder).tokenizer
    path.with_name("tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="tokenizer has hash"):
        _ = PreparedData(folder).tokenizer


@pytest.mark.parametrize("damage", ["missing", "size", "bit"])
def test_check_names_a_changed_shard(folder, damage):
    (shard,) = (folder / "T32").glob("*train*")
    content = bytearray(shard.read_bytes())
    if damage == "missing":
        shard.unlink()
    else:
        content[1000] ^= 1
        shard.write_bytes(content[:-1] if damage == "size" else content)
    with pytest.raises(DataError, match=shard.name):
        PreparedData(folder).check()


def test_the_fingerprint_follows_the_rows(folder, tmp_path, text):
    before = json.loads((folder / "report.json").read_text())["fingerprint"]
    (tmp_path / "text.txt").write_text(text(40).replace("number 7.", "number 8."))
    prepare(
        PrepareConfig((str(tmp_path / "text.txt"),), str(folder), lengths=(32,), vocab_size=150,
                      eval_share=0)
    )  # fmt: skip
    assert PreparedData(folder).fingerprint != before
