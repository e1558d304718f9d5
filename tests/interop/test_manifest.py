"""bert_jax.json vouches for every file, also while the directory is replaced."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from bert_jax import filesystem
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop import huggingface
from bert_jax.interop.huggingface import read_directory, write_directory
from tests.tasks.tiny import make, random_params

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "model"
    write_directory(folder, make("classification"), card="# A card")
    return folder


def metadata(folder):
    return json.loads((folder / "bert_jax.json").read_text())


def test_every_file_is_listed(written):
    assert tuple(sorted(metadata(written)["files"])) == ("README.md", *FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_is_refused_by_its_name(written, tmp_path, name):
    folder = shutil.copytree(written, tmp_path / "copy")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name} has hash(.|\n)*delete bert_jax\.json") as error:
        read_directory(folder)
    assert str(error.value).count("\n") == 2


def test_a_flipped_bit_in_the_manifest_is_refused(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "copy")
    text = (folder / "bert_jax.json").read_text()
    for changed in (text.replace('"max_length": 48', '"max_length": 49'),
                    text.replace('"task"', '"tasj"'), text.replace('"files"', '"fileq"'),
                    text.replace('"sha256"', '"shb256"')):  # fmt: skip
        assert changed != text
        (folder / "bert_jax.json").write_text(changed)
        with pytest.raises(ConfigError, match=r"bert_jax\.json has hash"):
            read_directory(folder)


def test_the_card_can_be_edited_and_the_manifest_deleted(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "copy")
    (folder / "README.md").write_text("# Another")
    assert read_directory(folder).task == make("classification").task
    config = (folder / "config.json").read_text().replace('"good"', '"fine"')
    (folder / "config.json").write_text(config)
    (folder / "bert_jax.json").unlink()
    assert read_directory(folder).labels == ("bad", "fine", "so-so")


def test_a_directory_of_an_older_version_is_read_and_its_weights_are_checked(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "copy")
    values = metadata(folder)
    old = {name: values[name] for name in ("task", "tokenizer_sha256")}
    for weights in (None, values["files"]["model.safetensors"]):
        (folder / "bert_jax.json").write_text(json.dumps({**old, "weights_sha256": weights}))
        assert read_directory(folder).task == values["task"]
    (folder / "bert_jax.json").write_text(json.dumps({**old, "weights_sha256": "0"}))
    with pytest.raises(ConfigError, match=r"model\.safetensors has hash"):
        read_directory(folder)


@pytest.mark.parametrize("values", [{"task": 7}, {"task": []}, {"files": 3, "weights_sha256": ""}])
def test_a_manifest_without_the_expected_values_does_not_break_the_reader(
    written, tmp_path, values
):
    folder = shutil.copytree(written, tmp_path / "copy")
    (folder / "bert_jax.json").write_text(json.dumps(values))
    if "files" in values:
        with pytest.raises(ConfigError, match=r"bert_jax\.json has hash"):
            read_directory(folder)
    else:
        assert read_directory(folder).task is None


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("ends_as", ["old", "new"])
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_reader_never_mixes_two_models(tmp_path, monkeypatch, file, ends_as, can_exchange):
    """The directory is replaced just before one of its files is read, and perhaps just after."""
    if not can_exchange:
        monkeypatch.setattr(filesystem, "_exchange", lambda first, second: False)
    old = make("classification")
    new = old._replace(labels=("x", "y", "z"), params=random_params(old.architecture, 3, seed=1))
    expected = {"old": old, "new": new}[ends_as]
    folder, replaced = tmp_path / "model", []
    write_directory(folder, old)
    reader = {"config.json": "read_config", "model.safetensors": "read_weights"}[file]
    real = getattr(huggingface, reader)

    def replace_and_read(*arguments):
        if replaced:
            return real(*arguments)
        replaced.append(True)
        write_directory(folder, new)
        value = real(*arguments)
        write_directory(folder, expected)
        return value

    monkeypatch.setattr(huggingface, reader, replace_and_read)
    model = read_directory(folder)
    assert replaced
    assert model.labels == expected.labels
    jax.tree.map(np.testing.assert_array_equal, model.params, expected.params)


def test_a_directory_that_never_rests_is_given_up(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_directory(folder, make("classification"))
    versions = iter(range(1000))
    monkeypatch.setattr(huggingface, "_version", lambda folder: next(versions))
    with pytest.raises(CheckpointError, match="was replaced 20 times"):
        read_directory(folder)


def test_a_write_that_fails_leaves_the_old_directory_and_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_directory(folder, make("classification"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface, "make_metadata", full)
    with pytest.raises(OSError, match="No space"):
        write_directory(folder, make("tagging"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(OSError, match="No space"):
        write_directory(tmp_path / "other", make("tagging"))
    assert os.listdir(tmp_path) == ["model"]


def test_what_a_killed_writer_left_is_read_and_written_over(tmp_path):
    folder = tmp_path / "model"
    write_directory(tmp_path / "model.old", make("classification"))  # between two renames
    (tmp_path / "model.writing").mkdir()
    assert read_directory(folder).labels == make("classification").labels
    write_directory(folder, make("tagging"))
    assert read_directory(folder).labels == make("tagging").labels
    assert os.listdir(tmp_path) == ["model"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "model")
    for kind in ("classification", "tagging"):
        write_directory(tmp_path / "model", make(kind))
        assert (tmp_path / "model").is_symlink()
        assert read_directory(tmp_path / "disk" / "model").labels == make(kind).labels
    assert os.listdir(tmp_path / "disk") == ["model"]


def test_a_file_is_not_replaced_by_a_directory(tmp_path):
    (tmp_path / "model").write_text("text")
    with pytest.raises(NotADirectoryError):
        write_directory(tmp_path / "model", make("classification"))
    assert (tmp_path / "model").read_text() == "text"
