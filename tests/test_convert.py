"""convert.py: every format from every source, parts of a pretraining model, and its errors."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest

import bert_jax
import convert
from bert_jax.config import (
    LoopConfig,
    OptimizerConfig,
    Phase,
    PretrainConfig,
    resume_identity,
    to_json,
)
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.huggingface import PretrainedModel, read_directory, write_directory
from bert_jax.interop.stablehlo import make_inference_function
from bert_jax.models.architectures import WITH_LABELS
from bert_jax.models.new_rows import add_rows
from bert_jax.models.task_heads import BERT_MODELS
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.checkpoint import Checkpoints
from convert import ConvertConfig
from tests.tasks.tiny import CONFIG, TOKENIZER, make, random_params

PARTS = {
    "": ("BertForPreTraining", {"bert", "mlm", "nsp"}),
    "BertForPreTraining": ("BertForPreTraining", {"bert", "mlm", "nsp"}),
    "BertForMaskedLM": ("BertForMaskedLM", {"bert", "mlm"}),
    "BertModel": ("BertModel", {"embeddings", "layers", "pooler"}),
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Create a run of pretrain.py with two checkpoints, of which the older one is the best."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    config = PretrainConfig(
        data="rows", model=CONFIG, optimizer=OptimizerConfig(learning_rate=1e-3),
        phases=(Phase(length=32, batch_size=8),), loop=LoopConfig(steps=20), name="tiny",
    )  # fmt: skip
    TOKENIZER.save(run / "tokenizer")
    (run / "config.json").write_text(to_json(config))
    identity = {**resume_identity(config), "tokenizer": TOKENIZER.sha256}
    checkpoints = Checkpoints(run / "checkpoints", identity, keep_last=2)
    for step, metric in ((10, 1.0), (20, 2.0)):
        state = {"params": random_params("BertForPreTraining", seed=step), "step": np.int32(step)}
        checkpoints.save(step, jax.device_put(state), {"metric": metric}, block=True)
    checkpoints.close()
    return run


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """Create a directory as finetune.py and Hugging Face write it."""
    folder = tmp_path_factory.mktemp("tagger") / "model"
    write_directory(folder, make("tagging"), card="# A card")
    return folder


def run(*arguments, **options):
    return convert.main(ConvertConfig(*map(str, arguments), **options))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("part", PARTS)
def test_a_run_and_its_parts_as_a_hugging_face_directory(pretrained, tmp_path, capsys, part):
    assert run(pretrained, tmp_path / "out", architecture=part) == 0
    name, held = PARTS[part]
    model, trained = read_directory(tmp_path / "out"), random_params("BertForPreTraining", seed=20)
    assert (model.architecture, set(model.params)) == (name, held)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [name]
    assert model.tokenizer.sha256 == TOKENIZER.sha256
    expected = trained["bert"]
    if name == "BertForMaskedLM":
        expected = {part: x for part, x in expected.items() if part != "pooler"}
    assert_equal(model.params if name == "BertModel" else model.params["bert"], expected)
    for head in held & {"mlm", "nsp"}:
        assert_equal(model.params[head], trained[head])
    count = sum(x.size for x in jax.tree.leaves(model.params))
    done, following = capsys.readouterr().out.splitlines()
    assert done == f"{name}, {count:,} parameters → {tmp_path}/out/"
    assert following.startswith("next")
    assert f"{tmp_path}/out" in following


def test_a_part_does_what_the_whole_did(pretrained, tmp_path):
    assert run(pretrained, tmp_path / "out", architecture="BertForMaskedLM") == 0
    part, whole = (
        bert_jax.load(folder).fill_mask("the [MASK] sat .")
        for folder in (tmp_path / "out", pretrained)
    )
    assert [word for word, _ in part[0]] == [word for word, _ in whole[0]]
    assert [p for _, p in part[0]] == pytest.approx([p for _, p in whole[0]])


def test_the_best_checkpoint_can_be_taken(pretrained, tmp_path):
    assert run(pretrained, tmp_path / "out", which="best") == 0
    assert_equal(
        read_directory(tmp_path / "out").params, random_params("BertForPreTraining", seed=10)
    )


def test_a_directory_stays_what_it_is_and_gives_its_encoder(tagger, tmp_path):
    assert run(tagger, tmp_path / "same") == 0
    model, again = read_directory(tagger), read_directory(tmp_path / "same")
    assert_equal(again.params, model.params)
    assert again._replace(params=0, tokenizer=0) == model._replace(params=0, tokenizer=0)
    assert run(tagger, tmp_path / "encoder", architecture="BertModel") == 0
    encoder = read_directory(tmp_path / "encoder")
    assert_equal(encoder.params, model.params["bert"])
    assert (encoder.labels, encoder.task, encoder.problem_type) == ((), None, None)
    # A run of finetune.py is the model that it exported.
    shutil.copytree(tagger, tmp_path / "run" / "model")
    assert run(tmp_path / "run", tmp_path / "out") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "same")
    # An older output is replaced whole.
    (tmp_path / "out" / "stale").write_text("old")
    assert run(tagger, tmp_path / "out", architecture="BertModel") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "encoder")


@pytest.mark.parametrize("name", BERT_MODELS)
def test_fewer_tokens_have_the_same_outputs(tmp_path, name):
    words, text = ["세종", "##대왕", "##글을"], "the cat sat on mats. 한글 만들었다"
    labels = ("no", "yes") if name in WITH_LABELS else ()
    params = random_params(name, len(labels))
    whole = {"bert": params} if name == "BertModel" else params
    size = TOKENIZER.vocab_size
    whole = add_rows(whole, size + 3, {size + i: [7 + i] for i in range(3)})
    config = dataclasses.replace(CONFIG, vocab_size=size + 3)
    tokenizer = Tokenizer([*TOKENIZER.vocab, *words])
    params = whole["bert"] if name == "BertModel" else whole
    write_directory(tmp_path / "in", PretrainedModel(config, name, params, tokenizer, labels))
    assert run(tmp_path / "in", tmp_path / "out", vocab_size=size, dtype="float16") == 0
    model, shorter = (read_directory(tmp_path / folder) for folder in ("in", "out"))
    assert (shorter.config, shorter.tokenizer.vocab) == (CONFIG, TOKENIZER.vocab)
    assert (shorter.architecture, shorter.labels) == (name, labels)
    assert shorter.tokenizer.encode(text) == model.tokenizer.encode(text)
    exact = convert.shrink_vocabulary(model, size)
    ours, expected = (bert_jax.Model(each).encode([text])[0] for each in (exact, model))
    np.testing.assert_array_equal(ours, expected)
    assert_equal(exact.params, random_params(name, len(labels)))
    half = jax.tree.map(lambda x: np.float16(x).astype(np.float32), exact.params)
    assert_equal(shorter.params, half)
    # "세종" and "##글을" are cut.
    longer = "세종대왕이 한글을"
    assert model.tokenizer.tokens(model.tokenizer.encode(longer))[:2] == ["세종", "##대왕"]
    assert shorter.tokenizer.tokens(shorter.tokenizer.encode(longer))[:2] == ["세", "##종"]


def test_labels_are_renamed_in_their_order(tagger, tmp_path):
    assert run(tagger, tmp_path / "out", labels=("O", "B-CAT", "I-CAT")) == 0
    model, before = read_directory(tmp_path / "out"), read_directory(tagger)
    assert (model.labels, model.task) == (("O", "B-CAT", "I-CAT"), before.task)
    assert_equal(model.params, before.params)


@pytest.mark.parametrize("labels", ["O B-CAT", "O B-CAT B-CAT"])
def test_labels_that_do_not_fit_are_refused(tagger, tmp_path, capsys, monkeypatch, labels):
    options = ("--labels", *labels.split())
    code, err = command(capsys, monkeypatch, tagger, tmp_path / "out", *options)
    assert code == 2
    assert f"labels = {labels}, but those of the model are ['O', 'B-PET', 'I-PET']\n" in err
    assert "expected: 3 different names\n" in err


@pytest.mark.parametrize("format", ["stablehlo", "onnx"])
def test_programs_are_float32(tagger, tmp_path, capsys, monkeypatch, format):
    options = ("--to", format, "--dtype", "float16")
    code, err = command(capsys, monkeypatch, tagger, tmp_path / "model", *options)
    assert code == 2
    assert f"--to {format} writes no float16" in err


def test_a_stablehlo_file_has_the_models_outputs(tagger, tmp_path, capsys):
    path = tmp_path / "model.stablehlo"
    assert run(tagger, path, to="stablehlo") == 0
    assert "any batch size, up to 64 tokens" in capsys.readouterr().out
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    given = [np.array([[2, 9, 3, 0]], np.int32), np.array([[1, 1, 1, 0]], np.int32)]
    given.append(np.zeros_like(given[0]))
    model = read_directory(tagger)
    (actual,) = exported.call(*given)
    (expected,) = jax.jit(make_inference_function(model))(*given)
    assert actual.shape == (1, 4, 3)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_an_onnx_file_is_written_and_its_difference_is_printed(
    tagger, tmp_path, capsys, monkeypatch
):
    # The file itself is tested in tests/interop/test_onnx.py; that takes many seconds.
    def write(model, path):
        path.write_bytes(model.architecture.encode())
        return 2.5e-7

    monkeypatch.setattr(convert, "write_onnx", write)
    assert run(tagger, tmp_path / "model.onnx", to="onnx") == 0
    assert (tmp_path / "model.onnx").read_bytes() == b"BertForTokenClassification"
    done, following = capsys.readouterr().out.splitlines()
    assert done.endswith(f"→ {tmp_path}/model.onnx: ONNX Runtime differs by at most 2.5e-07")
    assert "InferenceSession" in following


def command(capsys, monkeypatch, *arguments):
    """Return the exit code and stderr of a command that is refused."""
    monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, arguments)])
    code = convert.command_line()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 3
    assert "Traceback" not in err
    return code, err


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForPreTraining"])
def test_a_head_that_is_not_there_is_named(tagger, tmp_path, capsys, monkeypatch, architecture):
    options = ("--architecture", architecture)
    code, err = command(capsys, monkeypatch, tagger, tmp_path / "out", *options)
    assert code == 2
    assert "BertForTokenClassification has no head mlm" in err
    assert f"which {architecture} needs" in err
    assert not (tmp_path / "out").exists()
    masked = tmp_path / "encoder"
    run(tagger, masked, architecture="BertModel")
    capsys.readouterr()
    code, err = command(capsys, monkeypatch, masked, tmp_path / "out", *options)
    assert "BertModel has no head mlm" in err


def write_config(folder):
    (folder / "config.json").write_text('{"learning": "rate"}')


def write_pickle(folder):
    write_directory(folder, make("tagging"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("prepare", "name", "code", "message"),
    [
        (None, "nothing", 2, "nothing is not a model"),
        (lambda folder: (folder / "a.txt").write_text("text"), "a.txt", 2, "a.txt is not a model"),
        (None, "", 2, "config.json"),
        (write_config, "", 2, "unknown field 'learning'"),
        (write_pickle, "", 4, "pytorch_model.bin only, which can run code"),
    ],
)
def test_what_is_not_a_model_is_refused(
    tmp_path, capsys, monkeypatch, prepare, name, code, message
):
    folder = tmp_path / "source"
    folder.mkdir()
    if prepare:
        prepare(folder)
    actual, err = command(capsys, monkeypatch, folder / name, tmp_path / "out")
    assert actual == code
    assert message in err.replace(f"{folder}/", "")
    assert not (tmp_path / "out").exists()


def test_a_tf1_checkpoint_needs_tensorflow(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "bert_model.ckpt.index").write_bytes(b"")
    code, err = command(capsys, monkeypatch, tmp_path / "bert_model.ckpt", tmp_path / "out")
    assert code == 2
    assert "the [tf] extra" in err


def test_nothing_is_replaced_that_this_script_did_not_write(tagger, tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    file = tmp_path / "file"
    file.write_text("text")
    copy = shutil.copytree(tagger, tmp_path / "run" / "model")
    for source, output in (
        (tagger, mine),
        (tagger, file),
        (copy, copy),
        (copy, copy.parent),
        (copy.parent, copy),
        (copy, tmp_path / "run" / ".." / "run" / "model"),
    ):
        code, err = command(capsys, monkeypatch, source, output)
        assert code == 2
        assert "exists and would be replaced" in err
    assert contents(mine) == {"thesis.txt": b"years of work"}
    assert file.read_text() == "text"
    assert contents(copy) == contents(tagger)
    (tmp_path / "empty").mkdir()
    assert run(tagger, tmp_path / "empty") == 0
    assert read_directory(tmp_path / "empty").architecture == "BertForTokenClassification"


def test_a_full_disk_leaves_the_old_output_and_nothing_else(tagger, tmp_path, capsys, monkeypatch):
    for options in (), ("--to", "stablehlo"):
        output = tmp_path / "-".join(("out", *options)).replace("--to-", "")
        assert run(tagger, output, to=options[-1] if options else "huggingface") == 0
        capsys.readouterr()
        before = contents(output) if output.is_dir() else output.read_bytes()

        def full(path, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            code, err = command(capsys, patch, tagger, output, *options)
        assert code == 3
        assert "No space left on device" in err
        assert (contents(output) if output.is_dir() else output.read_bytes()) == before
    assert sorted(os.listdir(tmp_path)) == ["out", "out-stablehlo"]


def test_labels_that_contradict_each_other_do_not_block_an_encoder(tagger, tmp_path):
    folder = shutil.copytree(tagger, tmp_path / "tagger")
    (folder / "bert_jax.json").unlink()
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"id2label": {"0": "O", "1": "O"}}))
    with pytest.raises(ConfigError, match="id2label names both 0 and 1 'O'"):
        run(folder, tmp_path / "whole")
    assert run(folder, tmp_path / "encoder", architecture="BertModel") == 0
    assert_equal(read_directory(tmp_path / "encoder").params, read_directory(tagger).params["bert"])


@pytest.mark.parametrize("format", ["stablehlo", "onnx"])
def test_an_output_that_cannot_be_a_file_is_refused(tagger, tmp_path, capsys, monkeypatch, format):
    for output in (tmp_path, tmp_path / "nowhere" / "model"):
        code, err = command(capsys, monkeypatch, tagger, output, "--to", format)
        assert code == 2
        assert f"{output} cannot be a file" in err


def test_errors_have_a_code_of_their_kind(monkeypatch, capsys, tmp_path):
    for error, code in ((ConfigError, 2), (CheckpointError, 4)):

        def fail(config, error=error):
            raise error("wrong", "right", "fix it")

        monkeypatch.setattr(convert, "main", fail)
        actual, err = command(capsys, monkeypatch, tmp_path, tmp_path / "out")
        assert actual == code
        assert err == "error: wrong\n  expected: right\n  fix:      fix it\n"


def test_the_script_ends_with_the_code(tmp_path):
    script = Path(convert.__file__)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "nothing", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {tmp_path}/nothing is not a model\n")
    assert done.stderr.count("\n") == 3
