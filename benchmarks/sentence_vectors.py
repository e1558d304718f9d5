"""Similarity of sentences by the cosine of an encoder's vectors, without fine-tuning (STS-B).

    python benchmarks/sentence_vectors.py runs/tiny sts-train.csv sts-test.csv \
        --columns.text 6 --columns.text-b 7 --columns.label 5

Prints Pearson's and Spearman's correlation with the scores for each layer's vectors: the word
embeddings, the first and the last layer, and the mean of both; and, for comparison, random vectors,
one for each word, which tell only how many words two texts share. And for each pooling: the mean
over all tokens but [CLS] and [SEP], and SIF (Arora et al. 2017, algorithm 1), whose probabilities
of words and common component come from the texts of the first file; its scores are not used.
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence

import jax
import numpy as np
import tyro
from jaxtyping import Float, Int

from bert_jax.config import ColumnsConfig, FinetuneConfig
from bert_jax.errors import report_user_errors
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.labelled.rejects import Rejects
from bert_jax.pretrained import Model, read_model
from bert_jax.tasks.metrics import correlations
from bert_jax.tasks.regression import Regression

Ids = list[Int[np.ndarray, "T"]]
"""The tokens of each text, without [CLS] and [SEP]."""
Vectors = list[Float[np.ndarray, "T D"]]
"""Their vectors."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    model: tyro.conf.Positional[str]
    """A run of pretrain.py, or a Hugging Face directory."""
    texts: tyro.conf.Positional[str]
    """Pairs of texts in which tokens are counted; their scores are not used."""
    test: tyro.conf.Positional[str]
    """Pairs of texts to score on."""
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    """Columns of the tables."""
    a: float = 1e-3
    """Smoothing of SIF's weights a / (a + p)."""


def main(options: Options) -> None:
    """Print the correlations of each layer and pooling."""
    config = FinetuneConfig(
        "regression", encoder="", train=options.texts, dev=options.test, columns=options.columns
    )
    rejects = Rejects()
    known, test = (
        Regression().accept(Regression.read(source, split, config, rejects, print), rejects)
        for source, split in ((options.texts, "train"), (options.test, "test"))
    )
    for line in rejects.summary():
        print(f"warning: {line}")
    gold = np.array([float(str(example.label)) for example in test])
    saved = read_model(options.model, labels=False)
    texts = [[t for e in part for t in (e.text, str(e.text_b))] for part in (known, test)]
    ids = [encode(saved, part) for part in texts]
    weights = sif_weights(ids[0], saved.tokenizer.vocab_size, options.a)
    print(f"{len(test):,} pairs; tokens counted in {len(texts[0]):,} texts")
    print(f"  {'vectors':24}   mean: Pearson  Spearman    SIF: Pearson  Spearman")
    for name, vectors in layers(saved, texts, ids):
        mean = np.stack([x.mean(0) for x in vectors[1]])
        component = common_component(weighted_means(vectors[0], ids[0], weights))
        sif = remove(weighted_means(vectors[1], ids[1], weights), component)
        results = [correlations(gold, cosines(x[::2], x[1::2])) for x in (mean, sif)]
        cells = [f"{r['pearson']:16.3f}{r['spearman']:10.3f}" for r in results]
        print(f"  {name:24}{''.join(cells)}")


def encode(saved: PretrainedModel, texts: Sequence[str]) -> Ids:
    """Return the tokens of each text, as many as the model has positions for."""
    room = saved.config.max_position_embeddings - 2
    return [np.array(ids[:room], int) for ids in saved.tokenizer.encode_batch(list(texts))]


# --- Vectors of tokens ----------------------------------------------------------------------------


def layers(
    saved: PretrainedModel, texts: Sequence[Sequence[str]], ids: Sequence[Ids]
) -> Iterator[tuple[str, list[Vectors]]]:
    """Yield each kind of vectors by name, of all groups of texts."""
    encoder = saved.params.get("bert", saved.params)
    word = np.asarray(encoder["embeddings"]["word"])
    random = np.random.default_rng(0).normal(size=word.shape)
    yield "random, one for a word", [[random[tokens] for tokens in group] for group in ids]
    yield "word embeddings", [[word[tokens] for tokens in group] for group in ids]
    last = PretrainedModel(saved.config, "BertModel", encoder, saved.tokenizer)
    first = last._replace(
        config=dataclasses.replace(saved.config, num_hidden_layers=1),
        params=encoder | {"layers": jax.tree.map(lambda x: x[:1], encoder["layers"])},
    )
    firsts, lasts = (
        [[x[1:-1] for x in Model(model).encode(group)] for group in texts]
        for model in (first, last)
    )
    yield "first layer", firsts
    yield "last layer", lasts
    means = [
        [(x + y) / 2 for x, y in zip(*pair, strict=True)]
        for pair in zip(firsts, lasts, strict=True)
    ]
    yield "mean of first and last", means


# --- Smooth inverse frequency (Arora et al. 2017) -------------------------------------------------


def sif_weights(ids: Ids, vocab_size: int, a: float) -> Float[np.ndarray, "V"]:
    """Return a / (a + p(token)), p by counting."""
    counts = np.bincount(np.concatenate(ids), minlength=vocab_size)
    return a / (a + counts / counts.sum())


def weighted_means(
    vectors: Vectors, ids: Ids, weights: Float[np.ndarray, "V"]
) -> Float[np.ndarray, "N D"]:
    """Return the mean over each text's tokens of weight · vector."""
    return np.stack(
        [(weights[tokens, None] * x).mean(0) for x, tokens in zip(vectors, ids, strict=True)]
    )


def common_component(x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "D"]:
    """Return the first right singular vector."""
    return np.linalg.eigh(x.T @ x).eigenvectors[:, -1]


def remove(
    x: Float[np.ndarray, "N D"], component: Float[np.ndarray, "D"]
) -> Float[np.ndarray, "N D"]:
    """Return the vectors without their part along a unit vector."""
    return x - np.outer(x @ component, component)


def cosines(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N"]:
    """Return the cosine of each pair; 0 of a vector of zeros."""
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return (x * y).sum(1) / np.maximum(norms, 1e-12)


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    main(tyro.cli(Options, description=__doc__))
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
