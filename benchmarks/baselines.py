"""Scores of simple baselines on labelled data, for comparison with a fine-tuned BERT.

    python benchmarks/baselines.py train.tsv dev.tsv
    python benchmarks/baselines.py sts-train.csv sts-dev.csv --task regression --columns.text 6 \
        --columns.text-b 7 --columns.label 5

Data are read, and predictions are scored, by the same code as in `finetune.py`.

classification: the most frequent class; and logistic regression on TF-IDF of words, word bigrams,
and character n-grams (2 to 5) within words. regression: the cosine of both texts' TF-IDF vectors.
tagging: each word's most frequent tag. question_answering: the span of the passage that is
surrounded by most words of the question; nothing is learned from the training data.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import tyro
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import paired_cosine_distances
from sklearn.pipeline import FeatureUnion

from bert_jax.config import ColumnsConfig, FinetuneConfig
from bert_jax.config.finetuning import TaskKind
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import Question
from bert_jax.labelled.texts import TextExample
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.tagging import TagExample
from bert_jax.tasks.task import Prediction

MAX_ANSWER = 3  # words
CONTEXT = 12  # words on each side of an answer that are compared with the question
C = 4.0  # inverse strength of the L2 penalty

Baseline = Callable[[Sequence[Any], Sequence[Any]], list[Prediction]]
"""(training examples, held-out examples) → predictions for the latter."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    train: tyro.conf.Positional[str]
    """Labelled data to learn from."""
    dev: tyro.conf.Positional[str]
    """Labelled data to score on."""
    task: TaskKind = "classification"
    """Kind of task."""
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    """Columns of the tables."""
    train_limit: int | None = None
    """Number of training examples, spaced evenly over all; None: all."""


def main(options: Options) -> None:
    """Print the scores of each baseline."""
    config = FinetuneConfig(
        options.task, encoder="", train=options.train, dev=options.dev, columns=options.columns
    )
    kind, rejects = KINDS[options.task], Rejects()
    train = kind.read(options.train, "train", config, rejects, print)
    dev = kind.read(options.dev, "validation", config, rejects, print)
    task = kind.from_examples(train, config)
    train, dev = task.accept(train, rejects), task.accept(dev, rejects)
    for line in rejects.summary():
        print(f"warning: {line}")
    if options.train_limit is not None and options.train_limit < len(train):
        train = [train[i] for i in np.linspace(0, len(train) - 1, options.train_limit, dtype=int)]
    print(f"{len(train):,} training examples, {len(dev):,} held-out examples")
    for name, baseline in BASELINES[options.task].items():
        start = time.perf_counter()
        scores = task.score(dev, baseline(train, dev))
        line = "  ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
        print(f"  {name:28} {line}  ({time.perf_counter() - start:.0f} s)")


# --- Texts ----------------------------------------------------------------------------------------


def majority(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """Predict the most frequent class."""
    ((label, _),) = collections.Counter(example.label for example in train).most_common(1)
    return [{"label": label} for _ in dev]


def bag_of_words(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """Fit logistic regression on TF-IDF; for pairs, on both texts and on what they share."""
    vectors = tfidf(train)
    model = LogisticRegression(C=C, max_iter=1000)
    model.fit(features(vectors, train), [str(example.label) for example in train])
    return [{"label": label} for label in model.predict(features(vectors, dev))]


def similarity(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """Predict the cosine of both texts' TF-IDF vectors, mapped linearly to the training scores."""
    vectors = tfidf(train)
    train_cosines, dev_cosines = (
        1 - paired_cosine_distances(*map(vectors.transform, columns(examples)))
        for examples in (train, dev)
    )
    slope, start = np.polyfit(train_cosines, [float(str(example.label)) for example in train], 1)
    return [{"score": start + slope * cosine} for cosine in dev_cosines.tolist()]


def tfidf(examples: Sequence[TextExample]) -> FeatureUnion:
    """Fit TF-IDF weights of words, word bigrams and character n-grams that occur at least twice."""
    shared: dict[str, Any] = {"min_df": 2, "sublinear_tf": True, "dtype": np.float32}
    words: Any = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", **shared)
    pieces: Any = TfidfVectorizer(ngram_range=(2, 5), analyzer="char_wb", **shared)
    firsts, seconds = columns(examples)
    return FeatureUnion([("words", words), ("pieces", pieces)]).fit(firsts + seconds)


def columns(examples: Sequence[TextExample]) -> tuple[list[str], list[str]]:
    """Return the first texts and, for pairs, the second texts."""
    return (
        [example.text for example in examples],
        [example.text_b for example in examples if example.text_b is not None],
    )


def features(vectors: FeatureUnion, examples: Sequence[TextExample]) -> Any:
    """Return the TF-IDF of each text; for pairs, also that of the second and their product."""
    firsts, seconds = columns(examples)
    first: Any = vectors.transform(firsts)
    if not seconds:
        return first
    second = vectors.transform(seconds)
    return scipy.sparse.hstack([first, second, first.multiply(second)]).tocsr()


# --- Words ----------------------------------------------------------------------------------------


def frequent_tags(train: Sequence[TagExample], dev: Sequence[TagExample]) -> list[Prediction]:
    """Predict each word's most frequent tag; for unseen words, that of words seen once."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for example in train:
        for word, tag in zip(example.words, example.label or (), strict=True):
            counts[word][tag] += 1
    rare = sum((c for c in counts.values() if c.total() == 1), collections.Counter())
    (default, _), *_ = (rare or sum(counts.values(), collections.Counter())).most_common(1)
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [{"tags": [best.get(word, default) for word in example.words]} for example in dev]


# --- Passages -------------------------------------------------------------------------------------


def overlap(train: Sequence[Question], dev: Sequence[Question]) -> list[Prediction]:
    """Predict the span that has most of the question around it, and least of it inside."""
    return [{"text": best_span(q.question, q.context), "none_margin": 0.0} for q in dev]


def best_span(question: str, context: str) -> str:
    """Return the best span of at most MAX_ANSWER words.

    A word matches by the share of its letter bigrams that occur in the question, so that particles
    and endings do not matter. Distant neighbours weigh less (after Richardson et al. 2013).
    """
    asked = {bigram for word in question.lower().split() for bigram in letter_bigrams(word)}
    words = context.split()
    matches = np.array([np.mean([b in asked for b in letter_bigrams(w.lower())]) for w in words])
    weights = 1 / np.arange(1, CONTEXT + 1)
    padded = np.pad(matches, CONTEXT)
    before = [weights[::-1] @ padded[i : i + CONTEXT] for i in range(len(words) + 1)]
    after = [weights @ padded[i + CONTEXT : i + 2 * CONTEXT] for i in range(len(words) + 1)]
    inside = np.concatenate([[0.0], np.cumsum(matches)])
    spans = [
        (before[i] + after[j] - (inside[j] - inside[i]), i, j)
        for i in range(len(words))
        for j in range(i + 1, min(i + MAX_ANSWER, len(words)) + 1)
    ]
    _, start, end = max(spans, default=(0.0, 0, 0))
    return " ".join(words[start:end])


def letter_bigrams(word: str) -> list[str]:
    """Return all pairs of neighbouring letters; of a single letter, the letter."""
    return [word[i : i + 2] for i in range(len(word) - 1)] or [word]


BASELINES: dict[str, dict[str, Baseline]] = {
    "classification": {"majority": majority, "TF-IDF, logistic regression": bag_of_words},
    "regression": {"TF-IDF, cosine": similarity},
    "tagging": {"most frequent tag": frequent_tags},
    "question_answering": {"overlap": overlap},
}

if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
