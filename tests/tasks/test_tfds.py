"""A TFDS data set with named classes, built here without TensorFlow, as labelled data."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from bert_jax.config import ColumnsConfig, FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.splits import read_splits
from tests.tasks.tiny import ids, make

pytestmark = pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
ROWS = {
    "train": [("good film", "zesty"), ("bad film", "awful"), ("한글 cat", "zesty"), ("a", -1)],
    "validation": [("the cat", "awful"), ("good film", "zesty")],
}


class TinyReviews(tfds.core.GeneratorBasedBuilder):
    """Reviews in the form of glue/sst2; class 0 is not the first in the alphabet."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "sentence": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["zesty", "awful"]),
                "score": tfds.features.Scalar(np.float32),
                "idx": tfds.features.Scalar(np.int32),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ROWS}

    def _generate_examples(self, split):
        for i, (text, label) in enumerate(ROWS[split]):
            yield i, {"sentence": text, "label": label, "score": i / 2, "idx": i}


class TinyTags(TinyReviews):
    """Words with tags in the form of wikiann."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        tags = tfds.features.ClassLabel(names=["O", "B-ANIMAL", "B-FILM"])
        features = tfds.features.FeaturesDict(
            {
                "tokens": tfds.features.Sequence(tfds.features.Text()),
                "tags": tfds.features.Sequence(tags),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self, split):
        yield 0, {"tokens": ["the", "cat"], "tags": [0, 1]}
        yield 1, {"tokens": ["film", "한글"], "tags": [2, 0]}
        yield 2, {"tokens": ["a", "film"], "tags": [0, -1]}  # a tag that is not known


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyReviews, TinyTags):
        builder(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return str(folder)


def config(folder, task="classification", **changes):
    names = {"train": "tfds:tiny_reviews", "dev": "tfds:tiny_reviews"} | changes
    names |= {"tfds_data_dir": folder, "max_rejected": 0.5}
    return FinetuneConfig(task=task, encoder="", max_length=16, **names)


def read(config):
    rejects, log = Rejects(), []
    tokenizer = make("classification").tokenizer
    task_and_data = read_splits(KINDS[config.task], config, tokenizer, rejects, log.append)
    return *task_and_data, rejects, log


def test_classes_have_their_names_and_splits_their_places(folder):
    task, data, rejects, log = read(config(folder))
    assert task.labels == ("awful", "zesty")
    texts = {(e.text, e.label) for e in data["train"].examples}
    assert texts == {pair for pair in ROWS["train"] if pair[1] != -1}
    assert {(e.text, e.label) for e in data["dev"].examples} == set(ROWS["validation"])
    assert {tuple(row.tokens) for row in data["dev"].encoded} == {
        tuple(ids("[CLS] the cat [SEP]")),
        tuple(ids("[CLS] good film [SEP]")),
    }
    for example, row in zip(data["train"].examples, data["train"].encoded, strict=True):
        assert row.targets == {"label": ["awful", "zesty"].index(example.label)}
    (unlabelled,) = rejects.rows  # class -1, as the test splits of GLUE have
    assert unlabelled["reason"] == "label missing"
    assert unlabelled["place"].startswith("tfds:tiny_reviews:train:")
    assert log[0] == ("tfds:tiny_reviews: TFDS; text 'sentence', label 'label'; 4 rows")
    assert "labels: awful, zesty" in log
    assert log[-1] == "warning: 1 examples of the dev data are also in the training data"


def test_a_split_can_be_named_and_the_classes_order_given(folder):
    task, data, _, _ = read(
        config(folder, train="tfds:tiny_reviews:validation", labels=("zesty", "awful"))
    )
    assert {e.text for e in data["train"].examples} == {"the cat", "good film"}
    assert task.labels == ("zesty", "awful")
    with pytest.raises(DataError, match=r"has no split 'test'(.|\n)*one of train, validation"):
        read(config(folder, test="tfds:tiny_reviews"))


def test_scores_are_numbers(folder):
    columns = ColumnsConfig(label="score")
    _, data, rejects, _ = read(config(folder, "regression", columns=columns))
    assert not rejects.rows
    examples = {(e.text, row.targets["score"]) for e, row in zip(*data["train"], strict=True)}
    assert examples == {(text, i / 2) for i, (text, _) in enumerate(ROWS["train"])}
    assert isinstance(data["train"].examples[0], TextExample)


def test_tags_have_the_names_of_their_classes(folder):
    names = {"train": "tfds:tiny_tags", "dev": "tfds:tiny_tags"}
    task, data, rejects, _ = read(config(folder, "tagging", **names))
    assert [row["reason"] for row in rejects.rows] == ["words or tags missing"] * 2
    assert task.labels == ("O", "B-ANIMAL", "B-FILM")
    examples = {(e.words, e.label) for e in data["train"].examples}
    assert examples == {(("the", "cat"), ("O", "B-ANIMAL")), (("film", "한글"), ("B-FILM", "O"))}
