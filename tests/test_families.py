"""Other families end to end, with their own tokenizers: fine-tuning, prediction, vectors, masks."""

import os
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import convert
import finetune
from benchmarks.families import configuration, make_model
from bert_jax.config import FinetuneConfig
from bert_jax.interop.huggingface import write_directory
from bert_jax.models.architectures import architecture_of, head_of
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from tests.extras import need
from tests.tokenizer.families import FAMILIES as TOKENIZERS
from tests.toy_corpus import PLACES, SUBJECTS, VERBS
from tests.toy_labelled import write_labelled

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = need("torch")
    transformers = need("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TEXT, PAIR = "he saw the sea", ("he saw the sea", "and the town")


def write_klue(folder: Path) -> None:
    """Write BERT's WordPiece with the special tokens in the order of RoBERTa's, as KLUE has it."""
    words = {*PLACES, *VERBS, "he", "the", "and", *(w for s in SUBJECTS for w in s.split())}
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"##{letter}" for letter in letters), *sorted(words)]
    vocab = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]", *dict.fromkeys(pieces)]
    Tokenizer(vocab, Casing(lowercase=True)).save(folder, 64, segments=False)


CASES = {
    "modernbert": ("modernbert", TOKENIZERS["modernbert"]),
    "distilbert": ("distilbert", TOKENIZERS["distilbert"]),
    "roberta": ("roberta", TOKENIZERS["roberta"]),
    "klue": ("roberta", write_klue),
    "xlm-roberta": ("xlm-roberta", TOKENIZERS["xlm-roberta"]),
    "electra": ("electra", TOKENIZERS["distilbert"]),
    "albert": ("albert", TOKENIZERS["albert"]),
}


def write_encoder(folder: Path, case: str, head="ForMaskedLM") -> Path:
    """Write the directory of a small model with random weights and its family's tokenizer."""
    model_type, write_tokenizer = CASES[case]
    write_tokenizer(folder)
    tokenizer = Tokenizer.load(folder)
    config = configuration(
        model_type, vocab_size=tokenizer.vocab_size, num_hidden_layers=1, max_position_embeddings=64
    )
    name = architecture_of(config, head)
    write_directory(folder, make_model(name, config)._replace(tokenizer=tokenizer))
    return folder


def their_outputs(folder: Path, *texts: str):
    """Return what transformers computes of a text or pair, by its automatic classes."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    name = transformers.AutoConfig.from_pretrained(folder).architectures[0]
    auto = getattr(transformers, f"AutoModel{head_of(name).removesuffix('Model')}")
    with torch.no_grad():
        return auto.from_pretrained(folder).eval()(**tokenizer(*texts, return_tensors="pt"))


@pytest.mark.parametrize("case", CASES)
def test_vectors_and_masked_words_are_those_of_transformers(tmp_path, case):
    folder = write_encoder(tmp_path / "model", case)
    model = bert_jax.load(folder)
    assert model.architecture.endswith("ForMaskedLM")
    encoder = write_encoder(tmp_path / "encoder", case, "Model")
    expected = their_outputs(encoder, TEXT).last_hidden_state[0].numpy()
    vectors = bert_jax.load(encoder)
    hidden = vectors.encode([TEXT, "the town and the sea"])  # one row
    np.testing.assert_allclose(hidden[0], expected, atol=2e-5)
    np.testing.assert_allclose(vectors.embed([TEXT])[0], expected.mean(axis=0), atol=2e-5)
    mask = model.tokenizer.mask_token
    given = f"he saw the{mask}" if mask == "<mask>" else f"he saw the {mask}"
    ((best, *_),) = model.fill_mask(given)
    logits = their_outputs(folder, given).logits[0]
    ids = transformers.AutoTokenizer.from_pretrained(folder)(given).input_ids
    scores = torch.softmax(logits[ids.index(model.tokenizer.mask_id)], -1)
    assert best[1] == pytest.approx(scores.max().item(), abs=2e-5)


def tune(encoder: Path, task: str, folder: Path) -> Path:
    """Fine-tune for some steps; return the directory of the run."""
    config = FinetuneConfig(
        task=task, encoder=str(encoder), max_length=64, epochs=1, batch_size=8,
        train=write_labelled(task, folder / "train", 16),
        dev=write_labelled(task, folder / "dev", 8, seed=1),
        learning_rate=1e-3, name="run", runs_dir=str(folder),
    )  # fmt: skip
    assert finetune.main(config) == 0
    return folder / "run"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("case", "task"),
    [
        ("modernbert", "classification"),
        ("modernbert", "regression"),
        ("modernbert", "tagging"),
        ("modernbert", "question_answering"),
        ("roberta", "classification"),
        ("roberta", "regression"),
        ("roberta", "tagging"),
        ("roberta", "question_answering"),
        ("klue", "regression"),
        ("klue", "question_answering"),
        ("distilbert", "classification"),
        ("distilbert", "question_answering"),
        ("electra", "regression"),
        ("electra", "tagging"),
        ("xlm-roberta", "classification"),
        ("albert", "classification"),
    ],
)
def test_a_tuned_model_is_the_same_in_transformers(tmp_path, case, task):
    run = tune(write_encoder(tmp_path / "encoder", case), task, tmp_path)
    model, folder = bert_jax.load(run), run / "model"
    assert model.architecture.startswith(model.config.family)
    if task == "classification":
        logits = their_outputs(folder, *PAIR).logits[0]
        expected = torch.softmax(logits, -1).numpy()
        actual = model.predict([PAIR])[0]["probabilities"]
        np.testing.assert_allclose([actual[x] for x in model.labels], expected, atol=2e-5)
    elif task == "regression":
        expected = their_outputs(folder, *PAIR).logits[0, 0].item()
        assert model.predict([PAIR])[0]["score"] == pytest.approx(expected, abs=2e-5)
    elif task == "tagging":
        chosen = their_outputs(folder, TEXT).logits[0].argmax(-1)
        words = transformers.AutoTokenizer.from_pretrained(folder)(TEXT).word_ids()
        first = [words.index(word) for word in range(4)]
        assert model.predict([TEXT])[0]["tags"] == [model.labels[chosen[i]] for i in first]
    else:
        (answer,) = model.predict([{"question": "near the", "context": TEXT}])
        assert answer["text"] in TEXT
        assert their_outputs(folder, "near the", TEXT).start_logits.shape[0] == 1


@pytest.mark.heavy
@pytest.mark.parametrize("case", ["distilbert", "roberta", "electra", "albert"])
def test_exports_compute_the_same(tmp_path, case):
    folder = write_encoder(tmp_path / "model", case, "ForTokenClassification")
    out = tmp_path / "model.stablehlo"
    assert convert.main(convert.ConvertConfig(str(folder), str(out), to="stablehlo")) == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    given = tokenizer([TEXT, "the town and the sea"], padding=True, return_tensors="np")
    expected = their_outputs(folder, TEXT).logits[0].numpy()
    call = jax.export.deserialize(bytearray(out.read_bytes())).call
    names = [name for name in INPUTS if name in given]
    (logits,) = call(*(np.asarray(given[name], np.int32) for name in names))
    np.testing.assert_allclose(logits[0, : len(expected)], expected, atol=2e-5)
    need("onnxscript")
    onnx = tmp_path / "model.onnx"
    assert convert.main(convert.ConvertConfig(str(folder), str(onnx), to="onnx")) == 0
