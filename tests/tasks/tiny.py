"""A vocabulary of a few words and models of a few numbers, for tests that train nothing."""

from dataclasses import replace

import jax
import numpy as np

from bert_jax.config import BertConfig
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import WITH_LABELS, architecture, architecture_of
from bert_jax.models.functional import Params, build
from bert_jax.tasks.kinds import KINDS
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer

WORDS = (
    "who", "what", "?", ".", ",", "the", "cat", "dog", "sat", "on", "mat", "a", "b", "c", "d",
    "e", "f", "g", "h", "good", "bad", "film", "세", "한", "만",
)  # fmt: skip
ENDINGS = ("s", "er", "종", "대", "왕", "이", "글", "을", "들", "었", "다")
TOKENIZER = Tokenizer([*SPECIAL_TOKENS, *WORDS, *(f"##{piece}" for piece in ENDINGS)])
LABELS = {
    "classification": ("bad", "good", "so-so"),
    "multilabel": ("bad", "good", "long"),
    "regression": ("score",),
    "tagging": ("O", "B-PET", "I-PET"),
    "question_answering": (),
}
CONFIG = BertConfig(
    hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    max_position_embeddings=64, vocab_size=TOKENIZER.vocab_size,
)  # fmt: skip


def ids(text: str) -> list[int]:
    """Return the ids of tokens, written with spaces between them."""
    return [TOKENIZER.vocab.index(token) for token in text.split()]


def random_params(name: str, num_labels: int = 0, seed: int = 0) -> Params:
    """Return random parameters of an architecture, biases and scales included."""
    init, _ = build(CONFIG, architecture(name, num_labels))
    rng = np.random.default_rng(seed)

    def weights(path, shape):
        mean = 1.0 if "scale" in jax.tree_util.keystr(path) else 0.0
        return rng.normal(mean, 0.3, shape.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(weights, jax.eval_shape(init, jax.random.key(0)))


def make(kind: str) -> PretrainedModel:
    """Return a model for a kind of task."""
    name, labels = architecture_of(CONFIG, KINDS[kind].head), LABELS[kind]
    params = random_params(name, len(labels) if name in WITH_LABELS else 0)
    about = {"kind": kind, "max_length": 48}
    return PretrainedModel(CONFIG, name, params, TOKENIZER, labels, KINDS[kind].problem_type, about)


def with_one_segment(model: PretrainedModel) -> PretrainedModel:
    """Return a model without an embedding of the second segment."""
    encoder = model.params["bert"]
    embeddings = encoder["embeddings"] | {"segment": encoder["embeddings"]["segment"][:1]}
    return model._replace(
        config=replace(model.config, type_vocab_size=1),
        params=model.params | {"bert": encoder | {"embeddings": embeddings}},
    )
