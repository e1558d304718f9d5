"""Exchange with transformers: equal logits for every architecture; hostile directories."""

import json
import os
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.serialization import msgpack_serialize

import bert_jax
from bert_jax.config import BertConfig
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.huggingface import PretrainedModel, read_directory, write_directory
from bert_jax.interop.parameter_names import to_flat
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.models.task_heads import BERT_MODELS
from bert_jax.nn.layout import row_layout
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, AddedToken, Casing, Tokenizer
from tests.extras import need

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = need("torch")
    transformers = need("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOLERANCE = 2e-5
VOCAB = [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz", "##ing", "한", "##국", "é", "!", "中"]
CONFIG = BertConfig(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=24, vocab_size=len(VOCAB), initializer_range=0.2,
)  # fmt: skip
LABELS = ("bad", "good", "긍정")
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(5, len(VOCAB), (4, 20)).astype(np.int32)
LENGTHS = np.array([[12, 8], [5, 9], [20, 0], [3, 0]], np.int32)[:, None]  # [B, 1, 2]


def make(name, config=CONFIG, seed=0):
    """Return a model whose weights differ from every default initialization."""
    labels = LABELS if name in WITH_LABELS else ()
    init, _ = build(config, architecture(name, len(labels)))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda p: p + rng.normal(0, 0.05, p.shape).astype(np.float32), init(jax.random.key(seed))
    )
    return PretrainedModel(config, name, params, Tokenizer(VOCAB, Casing(lowercase=True)), labels)


def our_outputs(model):
    merge = build(model.config, architecture(model.architecture, len(model.labels)))[1]

    @jax.jit
    def run(params, tokens, lengths):
        layout = row_layout(lengths, tokens.shape[1])
        module = merge(params)
        if model.architecture == "BertModel":
            hidden = module(tokens, layout)
            return hidden, module.pool(hidden[:, 0])
        if model.architecture == "BertForPreTraining":
            positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
            mlm, nsp = module(tokens, layout, positions)
            return mlm, nsp[:, 0]
        output = module(tokens, layout)
        if model.architecture == "BertForSequenceClassification":
            return (output[:, 0],)
        if model.architecture == "BertForQuestionAnswering":
            return output[..., 0], output[..., 1]
        return (output,)

    with jax.default_matmul_precision("highest"):
        return [np.asarray(x) for x in run(model.params, TOKENS, LENGTHS)]


def their_outputs(model):
    index = np.arange(TOKENS.shape[1])[None]
    first, both = LENGTHS[:, 0, :1], LENGTHS[:, 0].sum(1, keepdims=True)
    return outputs_of(model, TOKENS, index < both, (index >= first) & (index < both))


def outputs_of(model, *inputs):
    """Return what a model of transformers computes from ids, mask and segments."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    given = {
        name: torch.from_numpy(x.astype(np.int64)) for name, x in zip(names, inputs, strict=False)
    }
    with torch.no_grad():
        output = model.eval()(**given)
    names = (
        "last_hidden_state", "pooler_output", "logits", "prediction_logits",
        "seq_relationship_logits", "start_logits", "end_logits",
    )  # fmt: skip
    return [output[name].numpy() for name in names if name in output]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    is_token = np.arange(TOKENS.shape[1])[None] < LENGTHS[:, 0].sum(1, keepdims=True)
    for a, b in zip(ours, theirs, strict=True):
        if a.shape[:2] == TOKENS.shape:  # outputs at padding are arbitrary
            a, b = a[is_token], b[is_token]
        np.testing.assert_allclose(a, b, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", BERT_MODELS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_what_we_write_transformers_reads_with_equal_logits(tmp_path, name, activation):
    config = BertConfig(**{**vars(CONFIG), "hidden_act": activation})
    model = make(name, config)
    write_directory(tmp_path / "model", model)
    auto = {
        "BertModel": "AutoModel",
        "BertForPreTraining": "AutoModelForPreTraining",
        "BertForMaskedLM": "AutoModelForMaskedLM",
        "BertForSequenceClassification": "AutoModelForSequenceClassification",
        "BertForTokenClassification": "AutoModelForTokenClassification",
        "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
    }[name]
    theirs, info = getattr(transformers, auto).from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert type(theirs).__name__ == name
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert_equal(our_outputs(model), their_outputs(theirs))
    if name in WITH_LABELS:
        assert theirs.config.id2label == dict(enumerate(LABELS))
    again = read_directory(tmp_path / "model")
    assert (again.config, again.architecture, again.labels) == (config, name, model.labels)
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)


@pytest.mark.parametrize("name", BERT_MODELS)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_what_transformers_writes_we_read_with_equal_logits(tmp_path, name, kind):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCAB), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=24, initializer_range=0.2,
        num_labels=3 if name in WITH_LABELS else 2,
    )  # fmt: skip
    theirs = getattr(transformers, name)(config).to(getattr(torch, kind))
    theirs.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    transformers.BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    model = read_directory(tmp_path)
    assert model.architecture == name
    assert model.tokenizer.vocab == VOCAB
    assert_equal(our_outputs(model), their_outputs(theirs.float()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_the_bytes_are_the_same_rounded_numbers_in_both(tmp_path, dtype):
    model = make("BertForPreTraining")
    write_directory(tmp_path / "whole", model)
    write_directory(tmp_path / "half", model, dtype=dtype)
    whole, half = ((tmp_path / name / "model.safetensors").stat() for name in ("whole", "half"))
    assert half.st_size < 0.6 * whole.st_size
    theirs = transformers.AutoModelForPreTraining.from_pretrained(tmp_path / "half", dtype="auto")
    assert theirs.dtype == theirs.config.dtype == getattr(torch, dtype)
    ours = read_directory(tmp_path / "half")
    rounded = jax.tree.map(lambda x: np.asarray(x).astype(dtype).astype(np.float32), model.params)
    jax.tree.map(np.testing.assert_array_equal, ours.params, rounded)
    assert_equal(our_outputs(ours), their_outputs(theirs.float()))


def test_old_flax_weights_and_weights_in_parts(tmp_path):
    model = make("BertForMaskedLM")
    write_directory(tmp_path / "whole", model)
    flat = to_flat(model.params, model.config)
    nested = {}
    for name, x in flat.items():
        *folders, leaf = name.split(".")
        inner = nested
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[leaf] = np.asarray(x)
    flax_folder = shutil.copytree(tmp_path / "whole", tmp_path / "flax")
    (flax_folder / "model.safetensors").unlink()
    (flax_folder / "flax_model.msgpack").write_bytes(msgpack_serialize(nested))
    parts = shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    tensors = safetensors.numpy.load_file(parts / "model.safetensors")
    (parts / "model.safetensors").unlink()
    file_of = {name: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(file_of.values()):
        part = {name: x for name, x in tensors.items() if file_of[name] == file}
        safetensors.numpy.save_file(part, parts / file)
    index = {"metadata": {}, "weight_map": file_of}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index))
    for folder in (flax_folder, parts):
        params = read_directory(folder).params
        jax.tree.map(np.testing.assert_array_equal, params, model.params)


def test_a_sentence_transformers_directory_is_an_encoder(tmp_path):
    model = make("BertModel")
    write_directory(tmp_path / "st", model)
    (tmp_path / "st" / "bert_jax.json").unlink()
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    (tmp_path / "st" / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "st" / "1_Pooling").mkdir()
    encoder = read_directory(tmp_path / "st")
    assert encoder.architecture == "BertModel"
    jax.tree.map(np.testing.assert_array_equal, encoder.params, model.params)


def test_an_unknown_head_is_dropped_with_a_warning(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "model")
    edit(folder, architectures=["BertForMultipleChoice"])
    logged = []
    encoder = read_directory(folder, logged.append)
    assert encoder.architecture == "BertModel"
    assert logged == [
        f"{folder}: BertForMultipleChoice is not supported, and is read as a BertModel",
        f"{folder}: a BertModel does not use classifier.bias, classifier.kernel",
    ]


def edit(folder, **changes):
    """Change fields of config.json; None removes one."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "model"
    write_directory(folder, make("BertForSequenceClassification"))
    (folder / "bert_jax.json").unlink()  # as from another program
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, r"auto_map = (.|\n)*none is run"),
        ({"model_type": "t5"}, r"model_type = 't5'(.|\n)*'bert'"),
        ({"model_type": None}, r"model_type = None"),
        ({"position_embedding_type": "relative_key"}, r"position_embedding_type"),
        ({"is_decoder": True}, r"is_decoder = True"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers = 1000000000 is invalid"),
        ({"num_hidden_layers": 4}, r"num_hidden_layers = 4, but the weights have 3"),
        ({"hidden_size": -32}, r"hidden_size = -32 is invalid"),
        ({"hidden_size": 2**24}, r"has shape(.|\n)*belong together"),
        ({"hidden_size": "32"}, r"hidden_size = '32'(.|\n)*an integer"),
        ({"hidden_size": True}, r"hidden_size = True(.|\n)*an integer"),
        ({"num_attention_heads": 5}, r"num_attention_heads = 5 is invalid"),
        ({"hidden_act": "swish"}, r"hidden_act = 'swish'"),
        ({"hidden_act": ["gelu"]}, r"hidden_act = \['gelu'\]"),
        ({"vocab_size": 7}, r"the tokenizer has 37 tokens, config.json 7"),
        ({"architectures": "BertModel"}, r"architectures = 'BertModel'"),
        ({"id2label": {"0": "a", "2": "b"}}, r"id2label"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, r"id2label names both 0 and 2 'a'"),
        ({"layer_norm_eps": float("nan")}, r"layer_norm_eps = nan is invalid"),
        ({"layer_norm_eps": float("inf")}, r"layer_norm_eps = inf is invalid"),
        ({"layer_norm_eps": -1.0}, r"layer_norm_eps = -1.0 is invalid"),
        ({"layer_norm_eps": 0}, r"layer_norm_eps = 0 is invalid"),
        ({"initializer_range": float("-inf")}, r"initializer_range = -inf is invalid"),
        ({"hidden_dropout_prob": float("nan")}, r"hidden_dropout_prob = nan is invalid"),
        ({"attention_probs_dropout_prob": 1}, r"attention_probs_dropout_prob = 1 is invalid"),
        ({"classifier_dropout": 2.5}, r"classifier_dropout = 2.5 is invalid"),
        ({"classifier_dropout": "0.1"}, r"classifier_dropout = '0.1'(.|\n)*a number"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": None}, r"classifier.* has shape"),
    ],
)  # fmt: skip
def test_a_hostile_configuration_is_refused_in_three_lines(written, tmp_path, changes, message):
    folder = shutil.copytree(written, tmp_path / "copy")
    edit(folder, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        read_directory(folder)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '{"model_type": "bert"}'])
def test_a_file_that_is_not_a_configuration_is_refused(written, tmp_path, text):
    folder = shutil.copytree(written, tmp_path / "copy")
    (folder / "config.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_directory(folder)
    assert str(caught.value).count("\n") == 2


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[:-100]
    elif how == "huge header":
        data[:8] = (2**62).to_bytes(8, "little")
    elif how == "empty":
        data = bytearray()
    elif how == "appended":
        data += b"0" * 100
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["truncated", "huge header", "empty", "appended"])
def test_damaged_weights_are_refused(written, tmp_path, how):
    folder = shutil.copytree(written, tmp_path / "copy")
    damage(folder / "model.safetensors", how)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read") as caught:
        read_directory(folder)
    assert str(caught.value).count("\n") == 2


def rename_last_layer(tensors):
    for name in [name for name in tensors if ".layer.2." in name]:
        tensors[name.replace(".2.", ".two.")] = tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("classifier.bias"), r"classifier\.bias missing"),
        (lambda t: t.update({"classifier.weight": np.zeros((3, 9), "f4")}), r"classifier\.kernel"),
        (lambda t: t.update({"classifier.bias": np.full(3, np.nan, "f4")}), r"NaN or Inf"),
        (lambda t: t.update({"classifier.bias": np.full(3, 1e300)}), r"classifier\.bias has NaN"),
        (lambda t: t.update({"classifier.bias": np.ones(3, "i1")}), r"bias has the dtype int8"),
        (lambda t: t.update({"bert.encoder.layer.x.weight": np.zeros(3, "f4")}), r"have 4 layers"),
        (lambda t: rename_last_layer(t), r"bert\.encoder\.layer\.2\..* missing"),
    ],
)
def test_other_names_shapes_or_numbers_are_refused(written, tmp_path, change, message):
    folder = shutil.copytree(written, tmp_path / "copy")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=message):
        read_directory(folder)


def test_a_pickle_is_never_read(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_directory(folder)
    (folder / "pytorch_model.bin").write_bytes(b"c" + b"os\nsystem\n(S'false'\ntR.")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin only, which can run code"):
        read_directory(folder)


def test_what_was_changed_after_it_was_written_is_refused(tmp_path):
    folder = tmp_path / "model"
    write_directory(folder, make("BertForMaskedLM"))
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(ConfigError, match=r"model\.safetensors has hash"):
        read_directory(folder)
    write_directory(folder, make("BertForMaskedLM"))
    vocab = (folder / "vocab.txt").read_text().replace("a\nb\n", "b\na\n")
    (folder / "vocab.txt").write_text(vocab)
    with pytest.raises(ConfigError, match=r"vocab\.txt has hash"):
        read_directory(folder)


HARD = [
    "", " ", "abc ing", "한국 한국말", "中a中b", "éÉ e\u0301", "a\u200db", "😀 abc😀",
    "a\x00b\x07c", "tab\tnew\nline\u00a0nbsp\u3000", "A.B!C", "ABCing", "a" * 101, "\ufffd",
    "[MASK] [SEP]", "İ ı ß ſ", "한\u1112\u1161\u11ab", "١٢", "a-b_c", "\u2028x",
]  # fmt: skip


@pytest.mark.parametrize("casing", [Casing(), Casing(True), Casing(True, False)])
def test_token_ids_are_theirs_on_hard_strings(tmp_path, casing):
    model = make("BertModel")._replace(tokenizer=Tokenizer(VOCAB, casing))
    write_directory(tmp_path / "model", model)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    ours = read_directory(tmp_path / "model").tokenizer
    for text in HARD:
        if "[" not in text:  # we read special tokens in a text as plain text, on purpose
            expected = theirs(text, add_special_tokens=False)["input_ids"]
            assert ours.encode(text) == expected, ascii(text)
    pair = theirs("abc", "ing")
    assert pair["input_ids"][0] == ours.cls_id
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]


def test_added_tokens_have_their_rows_in_both(tmp_path):
    added = (AddedToken("[USER]", special=True, normalized=False), AddedToken("covid-19"))
    config = BertConfig(**{**vars(CONFIG), "vocab_size": len(VOCAB) + 2})
    tokenizer = Tokenizer(VOCAB, Casing(lowercase=True), added)
    write_directory(tmp_path, make("BertModel", config)._replace(tokenizer=tokenizer))
    text = "[USER] abc Covid-19!"
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt")
    assert len(VOCAB) in ids["input_ids"]
    with torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()(**ids)
    (ours,) = bert_jax.load(tmp_path).encode([text])
    np.testing.assert_allclose(ours, theirs.last_hidden_state[0], atol=TOLERANCE, rtol=0)
