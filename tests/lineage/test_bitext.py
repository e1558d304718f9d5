"""Pairs from two files, question_answer lines, tables and TFDS."""

import gzip

import pytest
import tensorflow_datasets as tfds

from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.bitext import Pair, read_bitext


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_two_files_line_by_line(tmp_path):
    source = write(tmp_path / "a.en", "one\n\nthree\n")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei\ndrei\n")
    rejects = Rejects()

    pairs = read_bitext((source, str(tmp_path / "a.de.gz")), rejects)

    assert [pair[:2] for pair in pairs] == [("one", "eins"), ("three", "drei")]
    assert [row["place"] for row in rejects.rows] == [f"{source}:2"]
    assert rejects.rows[0]["reason"] == "empty source"


def test_files_of_different_length_are_refused_with_the_line(tmp_path):
    long, short = write(tmp_path / "a.en", "1\n2\n3\n"), write(tmp_path / "a.de", "1\n2\n")

    with pytest.raises(DataError, match=r"a\.en:3 has no partner: .*a\.de ends at line 2 of 3"):
        read_bitext((long, short), Rejects())
    with pytest.raises(DataError, match=r"a\.en:3 has no partner"):
        read_bitext((short, long), Rejects())


def test_answers_follow_the_last_mark_and_spaces_do_not_count(tmp_path):
    name = write(tmp_path / "sums.txt", "16+75  _91  \na_b _c\nno mark\n")
    rejects = Rejects()

    pairs = read_bitext((name,), rejects)

    assert pairs == [Pair("16+75", "91", f"{name}:1"), Pair("a_b", "c", f"{name}:2")]
    assert rejects.rows[0]["place"] == f"{name}:3"
    assert "no '_'" in rejects.rows[0]["reason"]


def test_columns_of_a_table_are_the_first_two_or_those_that_are_named(tmp_path):
    plain = write(tmp_path / "a.tsv", "ja\tyes\nnein\tno\n")
    named = write(
        tmp_path / "b.jsonl", '{"id": 1, "en": "yes", "de": "ja"}\n{"id": 2, "en": "no"}\n'
    )
    rejects = Rejects()

    assert [p[:2] for p in read_bitext((plain,), rejects)] == [("ja", "yes"), ("nein", "no")]
    assert [p[:2] for p in read_bitext((named,), rejects, ("en", "de"))] == [("yes", "ja")]
    assert [row["reason"] for row in rejects.rows] == ["a side that is not text"]


def test_a_column_that_is_not_there_is_named(tmp_path):
    name = write(tmp_path / "b.jsonl", '{"en": "yes", "de": "ja"}\n')

    with pytest.raises(DataError, match="fr"):
        read_bitext((name,), Rejects(), ("en", "fr"))
    with pytest.raises(DataError, match="one\\.tsv has the columns 1"):
        read_bitext((write(tmp_path / "one.tsv", "alone\n"),), Rejects())


def test_nothing_to_use_says_why(tmp_path):
    name = write(tmp_path / "empty.tsv", "a\t \n \tb\n")

    with pytest.raises(DataError, match=r"no pair can be used \(1 rejected: empty target"):
        read_bitext((name,), Rejects())


class TinyPairs(tfds.core.GeneratorBasedBuilder):
    """Pairs in the form of wmt14_translate."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.Translation(languages=["de", "en"])
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples([("ja", "yes"), ("", "no")]),
                "test": self._generate_examples([("gut", "good")])}  # fmt: skip

    def _generate_examples(self, rows):
        for i, (german, english) in enumerate(rows):
            yield i, {"de": german, "en": english}


@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_translations_from_tfds(tmp_path):
    builder = TinyPairs(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    rejects = Rejects()

    pairs = read_bitext(("tfds:tiny_pairs:train",), rejects, ("en", "de"), str(tmp_path))
    test = read_bitext(("tfds:tiny_pairs:test",), rejects, (), str(tmp_path))

    assert [pair[:2] for pair in pairs] == [("yes", "ja")]
    assert rejects.rows[0]["reason"] == "empty target"
    assert test[0][:2] == ("gut", "good")
