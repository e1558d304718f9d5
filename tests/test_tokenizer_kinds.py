"""The whole way with tokenizers of other kinds: prepare, pretrain, fine-tune, predict, convert."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import convert
import finetune
import predict
import prepare
import pretrain
from bert_jax.config import FinetuneConfig, MaskingConfig, PrepareConfig
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.signals import StopSignal
from tests.extras import need
from tests.nano import make_nano
from tests.toy_corpus import write_corpus
from tests.toy_labelled import write_labelled

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def pretrained(request, tmp_path_factory) -> Path:
    """The directory of a run with whole-word masks, on rows of the kind's tokenizer."""
    folder = tmp_path_factory.mktemp(request.param)
    text = write_corpus(folder / "text.txt", 100)
    options = {"lengths": (32, 64), "vocab_size": 300, "eval_share": 0.1, "workers": 1}
    prepare.main(
        PrepareConfig((str(text),), str(folder / "rows"), tokenizer=request.param, **options)
    )
    config = make_nano(folder / "rows", folder)
    assert pretrain.main(replace(config, masking=MaskingConfig(whole_word=True))) == 0
    return Path(config.runs_dir) / config.name


def test_a_run_that_stopped_resumes_to_the_same_bits(pretrained, tmp_path, monkeypatch):
    folder = pretrained.parent.parent
    config = make_nano(folder / "rows", tmp_path)
    config = replace(config, masking=MaskingConfig(whole_word=True))
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 6)
        assert pretrain.main(config) == 75
    assert pretrain.main(config) == 0
    ours, theirs = (load_params(run)[0] for run in (Path(config.runs_dir) / "nano", pretrained))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("kind", ["classification", "tagging", "question_answering"])
def test_fine_tuned_models_predict(pretrained, tmp_path, capfd, kind):
    config = FinetuneConfig(
        task=kind, encoder=str(pretrained), max_length=48, epochs=1, batch_size=8,
        train=write_labelled(kind, tmp_path / "train", 24),
        dev=write_labelled(kind, tmp_path / "dev", 12, seed=1),
        name=kind, runs_dir=str(tmp_path),
    )  # fmt: skip
    assert finetune.main(config) == 0
    capfd.readouterr()
    given = {
        "classification": "the cat sees the boat near the sea .",
        "tagging": "the cat sees the boat near the sea .",
        "question_answering": json.dumps({"question": "near the", "context": "a dog by the sea"}),
    }[kind]
    path = tmp_path / ("in.jsonl" if kind == "question_answering" else "in.txt")
    path.write_text(given + "\n")
    assert predict.main(predict.PredictConfig(str(tmp_path / kind), file=str(path))) == 0
    (line,) = capfd.readouterr().out.splitlines()
    predicted = json.loads(line)
    assert "error" not in predicted
    if kind == "question_answering":
        assert predicted["text"] in "a dog by the sea"
    elif kind == "tagging":
        assert len(predicted["tags"]) == len(given.split())


def test_converted_it_gives_the_same_ids_and_logits_in_transformers(pretrained, tmp_path):
    torch, transformers = (need(name) for name in ("torch", "transformers"))
    assert convert.main(convert.ConvertConfig(str(pretrained), str(tmp_path / "hf"))) == 0
    ours = bert_jax.load(pretrained)
    assert bert_jax.load(tmp_path / "hf").tokenizer.sha256 == ours.tokenizer.sha256
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "hf").eval()
    text = "the cat [MASK] the boat near the [MASK] ."
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")(text)["input_ids"]
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits[0].numpy()
    filled = ours.fill_mask(text, top_k=3)
    places = [i for i, index in enumerate(ids) if index == ours.tokenizer.mask_id]
    for place, found in zip(places, filled, strict=True):
        probabilities = np.asarray(jax.nn.softmax(logits[place]))
        best = np.argsort(-probabilities)[:3]
        assert [token for token, _ in found] == ours.tokenizer.pieces(best)
        np.testing.assert_allclose([p for _, p in found], probabilities[best], atol=1e-5)
