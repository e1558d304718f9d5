"""predict.py: every kind of input and output, and bad input."""

import dataclasses
import gzip
import io
import json
import lzma
import os
from pathlib import Path

import jax
import pytest

import bert_jax
import predict
from bert_jax.errors import ConfigError, DataError
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.labelled.inputs import Input
from bert_jax.models.architectures import architecture, architecture_of
from bert_jax.models.functional import build
from bert_jax.pretrained import read_model
from bert_jax.tasks.kinds import KINDS
from predict import PredictConfig
from tests.toy_labelled import write_labelled


@pytest.fixture(scope="module")
def models(nano_run, tmp_path_factory):
    """A model directory for each kind of task; its head is random."""
    labels = {"classification": ("sea", "town", "wood"), "tagging": ("O", "B-X")}
    labels |= {"regression": ("score",), "multilabel": ("sea", "town", "wood")}
    encoder, folders = read_model(nano_run), {}
    for name, kind in KINDS.items():
        mine = labels.get(name, ())
        model_name = architecture_of(encoder.config, kind.head)
        init, _ = build(encoder.config, architecture(model_name, len(mine)))
        about = {"kind": name, "max_length": 48}
        model = PretrainedModel(
            encoder.config, model_name, init(jax.random.key(0)), encoder.tokenizer, mine,
            kind.problem_type, about,
        )  # fmt: skip
        folders[name] = str(tmp_path_factory.mktemp(name) / "model")
        write_directory(folders[name], model)
    return folders


def run(capfd, **options):
    assert predict.main(PredictConfig(**options)) == 0
    out, err = capfd.readouterr()
    return out.splitlines(), err


def test_lines_in_json_out_in_order(models, tmp_path, capfd):
    path = tmp_path / "in.txt"
    texts = ["the cat sees the boat near the sea .", "a", "a dog " * 100, "한 [MASK]\t!"]
    path.write_text("\n".join(texts) + "\n")
    lines, _ = run(capfd, model=models["classification"], file=str(path), batch_size=2)
    predictions = [json.loads(line) for line in lines]
    assert [p["text"] for p in predictions] == texts
    for p in predictions:
        assert sum(p["probabilities"].values()) == pytest.approx(1.0)
        assert p["probabilities"][p["label"]] == p["probability"]


def test_tsv_out_has_a_row_for_each_input(models, tmp_path, capfd):
    path = tmp_path / "in.tsv"
    path.write_text("id\ttext\n1\ta dog\n2\tthe cat\n")
    out = tmp_path / "out.tsv"
    run(capfd, model=models["classification"], file=str(path), output=str(out))
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert [row[2] for row in rows] == ["a dog", "the cat"]
    assert {row[0] for row in rows} <= {"sea", "town", "wood"}


def test_pairs_tags_and_answers(models, tmp_path, capfd, monkeypatch):
    pairs = '{"sentence1": "he sees", "sentence2": "he finds"}\n{"other": 1}\nno json\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(pairs))
    lines, err = run(capfd, model=models["regression"])
    assert isinstance(json.loads(lines[0])["score"], float)
    assert "no text" in json.loads(lines[1])["error"]
    assert isinstance(json.loads(lines[2])["score"], float)  # a line that is a text
    assert "1 inputs could not be used" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("the cat sees\n"))
    lines, _ = run(capfd, model=models["tagging"])
    assert len(json.loads(lines[0])["tags"]) == 3
    squad = write_labelled("question_answering", tmp_path / "a.json", 3)
    lines, _ = run(capfd, model=models["question_answering"], file=squad)
    for line in lines:
        p = json.loads(line)
        assert p["context"][p["start"] : p["end"]] == p["text"]


def test_masks_are_filled(nano_run, capfd, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("the [MASK] sees a [MASK] .\nnone\n"))
    lines, _ = run(capfd, model=str(nano_run), top_k=3)
    first = json.loads(lines[0])
    assert [len(words) for words in first["masks"]] == [3, 3]
    assert "no [MASK]" in json.loads(lines[1])["error"]
    monkeypatch.setattr("sys.stdin", io.StringIO("the [MASK] sees\n"))
    lines, _ = run(capfd, model=str(nano_run), tsv=True)
    assert lines[0].endswith("\tthe [MASK] sees")


def test_a_prediction_does_not_depend_on_its_neighbours_or_its_bucket(models):
    model = bert_jax.load(models["classification"])
    texts = ["a dog", "the cat sees the boat near the sea . " * 3, "one bird calls", "my friend"]
    together = model.predict(texts)
    for text, prediction in zip(texts, together, strict=True):
        (alone,) = model.predict([text])
        assert alone["probabilities"] == pytest.approx(prediction["probabilities"], abs=1e-6)
    assert model.predict([]) == []


def test_what_cannot_be_predicted_is_refused(nano_run, models, tmp_path):
    with pytest.raises(ConfigError, match="was not fine-tuned"):
        bert_jax.load(nano_run).predict(["a"])
    with pytest.raises(ConfigError, match="no masked-LM head"):
        bert_jax.load(models["tagging"]).fill_mask("[MASK]")
    with pytest.raises(DataError, match="does not exist"):
        predict.main(PredictConfig(models["tagging"], str(tmp_path / "nothing.txt")))


def test_half_a_character_in_json_stops_nothing(models, tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [
        {"question": "near \ud800", "context": "the \udfff sea"},
        {"question": "b", "context": "a"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out.jsonl"
    options = {"file": str(path), "output": str(output)}
    assert predict.main(PredictConfig(model=models["question_answering"], **options)) == 0
    first, second = (json.loads(line) for line in output.read_text().splitlines())
    assert first["context"] == "the ? sea"
    assert second["context"] == "a"


def test_an_output_that_cannot_be_written_is_refused(models, tmp_path):
    output = str(tmp_path / "missing" / "out.jsonl")
    with pytest.raises(ConfigError, match=r"missing/out\.jsonl cannot be written: No such file"):
        predict.main(PredictConfig(model=models["classification"], output=output))


def test_a_file_can_be_input_and_output(models, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a dog\nthe cat\n")
    predict.main(PredictConfig(models["classification"], str(path), output=str(path)))
    predictions = [json.loads(line) for line in path.read_text().splitlines()]
    assert [p["text"] for p in predictions] == ["a dog", "the cat"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_input_that_is_not_there_leaves_the_last_output(models, tmp_path):
    output = tmp_path / "out.tsv"
    output.write_text("of yesterday\n")
    for name in ("mistyped.txt", "mistyped.tsv", "mistyped.json"):
        with pytest.raises(DataError, match="mistyped"):
            predict.main(PredictConfig(models["tagging"], str(tmp_path / name), output=str(output)))
    assert output.read_text() == "of yesterday\n"
    assert list(tmp_path.iterdir()) == [output]


def test_an_output_that_is_no_plain_file_stays_what_it_is(models, tmp_path):
    path, link = tmp_path / "in.txt", tmp_path / "link.jsonl"
    path.write_text("a dog\n")
    link.symlink_to(tmp_path / "out.jsonl")
    for output in (link, Path("/dev/null")):
        predict.main(PredictConfig(models["classification"], str(path), output=str(output)))
    assert link.is_symlink()
    assert json.loads((tmp_path / "out.jsonl").read_text())["text"] == "a dog"
    assert not Path("/dev/null").is_file()


def test_a_reader_of_the_output_may_stop_early(models, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a dog\n")
    reading, writing = os.pipe()
    os.close(reading)
    given = PredictConfig(models["classification"], str(path), output=f"/dev/fd/{writing}")
    assert predict.main(given) == 0
    os.close(writing)


def test_a_row_that_cannot_be_read_has_its_line(models, tmp_path, capfd):
    path = tmp_path / "in.tsv"
    path.write_text("id\ttext\n1\ta dog\n2\n\t\n3\tthe cat\n")
    lines, err = run(capfd, model=models["classification"], file=str(path))
    predictions = [json.loads(line) for line in lines]
    assert [p.get("text") for p in predictions] == ["a dog", None, None, "the cat"]
    assert [p.get("error") for p in predictions][1:3] == [
        f"{path}:3: 1 fields, expected 2", f"{path}:4: blank row",
    ]  # fmt: skip
    assert "2 inputs could not be used" in err
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a dog"}\n[1]\n{"text": "the cat"}\n')
    lines, _ = run(capfd, model=models["classification"], file=str(path))
    assert ["error" in json.loads(line) for line in lines] == [False, True, False]


@pytest.mark.parametrize("name", ["out.jsonl", "out.tsv"])
def test_the_inputs_own_label_is_kept_beside_the_prediction(models, tmp_path, capfd, name):
    path, out = tmp_path / "in.tsv", tmp_path / name
    path.write_text("text\tlabel\na dog\tgold\nthe cat\tbad\n")
    options = {"model": models["classification"], "file": str(path), "output": str(out)}
    _, err = run(capfd, **options)
    lines = out.read_text().splitlines()
    assert 'the input has its own "label"' in err
    if name.endswith("tsv"):
        assert [line.split("\t")[2:] for line in lines] == [["a dog", "gold"], ["the cat", "bad"]]
        return
    rows = [json.loads(line) for line in lines]
    assert [row["label"] for row in rows] == ["gold", "bad"]
    assert all(row["probabilities"][row["predicted_label"]] == row["probability"] for row in rows)
    assert err.count("note:") == 1


def test_a_taggers_file_is_predicted_in_sentences(models, tmp_path, capfd):
    path = tmp_path / "test.txt"
    path.write_text("The\tO\ncat\tB-X\nsees\tO\n\nA\tO\ndog\tO\n")
    lines, err = run(capfd, model=models["tagging"], file=str(path))
    first, second = map(json.loads, lines)
    assert (first["words"], first["tags"]) == (["The", "cat", "sees"], ["O", "B-X", "O"])
    assert len(first["predicted_tags"]) == 3
    assert "predicted_words" not in first
    assert second["words"] == ["A", "dog"]
    assert "CoNLL, its tags are not read; 2 sentences" in err


def test_answers_are_written_by_the_ids_of_their_questions(models, tmp_path, capfd):
    path, answers = tmp_path / "a.json", tmp_path / "predictions.json"
    qas = [{"id": i, "question": "near the"} for i in ("x", "y")]
    qas[1]["is_impossible"] = True
    context = "the cat sees the boat near the sea ."
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    options = {"file": str(path), "answers": str(answers)}
    lines, _ = run(capfd, model=models["question_answering"], **options)
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == ["x", "y"]
    expected = rows[1]["text"] if rows[1]["none_margin"] <= 0 else ""
    assert json.loads(answers.read_text()) == {"x": rows[0]["text"], "y": expected}
    with pytest.raises(ConfigError, match="answers no questions"):
        predict.main(PredictConfig(models["regression"], answers=str(answers)))


def test_empty_texts_are_errors_and_truncated_ones_are_marked(models, tmp_path, capfd):
    path = tmp_path / "in.txt"
    path.write_text("a dog\n\n \t\n" + "a dog " * 100 + "\n")
    lines, err = run(capfd, model=models["classification"], file=str(path))
    rows = [json.loads(line) for line in lines]
    errors = [None, f"{path}:2: text empty", f"{path}:3: text empty", None]
    assert [row.get("error") for row in rows] == errors
    assert ["truncated" in row for row in rows] == [False, False, False, True]
    assert "1 of 4 inputs were truncated; the model reads up to 48 tokens" in err
    assert f'2 inputs could not be used: see "error" in the output; the first: {path}:2' in err


@pytest.mark.parametrize(
    ("text", "share", "message"),
    [
        (
            "\n\n\n",
            1.0,
            r"3 of 3 inputs could not be used: .*in\.txt:1: text empty; .*:2",
        ),
        ("a\n\n\nb\n", 0.4, r"2 of 4 inputs could(.|\n)*at most 40\.0% unusable"),
    ],
)
def test_too_many_unusable_inputs_leave_the_last_output(models, tmp_path, text, share, message):
    path, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    path.write_text(text)
    output.write_text("of yesterday\n")
    config = PredictConfig(models["classification"], str(path), output=str(output))
    with pytest.raises(DataError, match=message) as caught:
        predict.main(dataclasses.replace(config, max_rejected=share))
    assert str(caught.value).count("\n") == 2
    assert output.read_text() == "of yesterday\n"
    assert {*tmp_path.iterdir()} == {path, output}
    path.write_text("")
    assert predict.main(config) == 0


def test_errors_have_their_line_whatever_the_chunk(models, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(predict, "CHUNK", 2)
    path = tmp_path / "in.jsonl"
    rows = [{"text": "a dog"}] * 4 + [{"other": 1}, {"text": "a cat"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines, _ = run(capfd, model=models["classification"], file=str(path))
    assert json.loads(lines[4])["error"].startswith(f"{path}:5: no text in")


def test_chunks_of_long_inputs_have_fewer_of_them(monkeypatch):
    monkeypatch.setattr(predict, "CHUNK", 3)
    monkeypatch.setattr(predict, "CHUNK_CHARS", 10)
    inputs = [Input({"text": "x" * size}) for size in (1, 1, 1, 20, 5, 5, 1)]
    assert [len(chunk) for chunk in predict.chunks(inputs)] == [3, 1, 2, 1]


def test_a_question_needs_no_answer_to_be_asked(models, tmp_path, capfd):
    path = tmp_path / "a.json"
    off, broken = {"text": "town", "answer_start": 0}, {"answer_start": 0}
    asked = [
        {"question": "where", "answers": [off]}, {"question": "who", "answers": [broken]},
        {"question": 5}, {"question": "what"},
    ]  # fmt: skip
    paragraphs = [{"context": "the cat sees the sea .", "qas": asked}]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    lines, _ = run(capfd, model=models["question_answering"], file=str(path))
    predictions = [json.loads(line) for line in lines]
    assert [p["question"] for p in predictions] == ["where", "who", 5, "what"]
    assert ["error" in p for p in predictions] == [False, False, True, False]


@pytest.mark.parametrize(
    ("name", "kind"), [("a.txt.gz", "auto"), ("a.jsonl.gz", "jsonl"), ("a.txt.xz", "lines")]
)
def test_packed_files_are_unpacked(models, tmp_path, capfd, name, kind):
    path = tmp_path / name
    text = '{"text": "a dog"}\n' if kind == "jsonl" else "a dog\n"
    pack = lzma.compress if name.endswith("xz") else gzip.compress
    path.write_bytes(pack(text.encode()))
    lines, _ = run(capfd, model=models["classification"], file=str(path), format=kind)
    assert [json.loads(line)["text"] for line in lines] == ["a dog"]
    path.write_bytes(pack(text.encode())[:-4])
    with pytest.raises(DataError, match="cannot be read"):
        predict.main(PredictConfig(models["classification"], str(path), kind))


def test_a_model_without_words_is_refused_once(nano_run, tmp_path):
    encoder = read_model(nano_run)
    folder = tmp_path / "model"
    bare = PretrainedModel(encoder.config, "BertModel", encoder.params["bert"], encoder.tokenizer)
    write_directory(folder, bare)
    output = tmp_path / "out.jsonl"
    with pytest.raises(ConfigError, match="no masked-LM head"):
        predict.main(PredictConfig(str(folder), output=str(output)))
    assert not output.exists()


def test_masks_that_do_not_fit_are_an_error_of_their_line(nano_run, tmp_path, capfd):
    path = tmp_path / "in.txt"
    path.write_text("the cat " * 100 + "[MASK]\na [MASK]\n")
    lines, err = run(capfd, model=str(nano_run), file=str(path), tsv=True)
    assert "beyond" in lines[0].split("\t")[0]
    assert lines[1].endswith("\ta [MASK]")
    assert "1 inputs could not be used" in err
