"""What simple methods reach on a labelled set: the numbers that a fine-tuned BERT has to beat.

    python benchmarks/baselines.py train.tsv dev.tsv
    python benchmarks/baselines.py sts-train.csv sts-dev.csv --task regression --columns.text 6 \
        --columns.text-b 7 --columns.label 5

Data are read and predictions scored by the same code as `finetune.py`'s.

classification: the most frequent class; and logistic regression on TF-IDF of words, of pairs of
words, and of 2 to 5 characters inside of words. regression: the cosine of both texts' TF-IDF
vectors. tagging: each word's most frequent tag. question_answering: the stretch of the
passage around which most of the question stands; nothing is learned from the training data.
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
from bert_jax.data.rejects import Rejects
from bert_jax.data.squad import Question
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.tagging import TagExample
from bert_jax.tasks.task import Prediction
from bert_jax.tasks.texts import TextExample

LONGEST_ANSWER = 3  # words
NEARBY = 12  # words on each side of an answer in which the question is looked for
C = 4.0  # inverse strength of the penalty on weights

Baseline = Callable[[Sequence[Any], Sequence[Any]], list[Prediction]]
"""(training examples, held-out examples) → predictions for the latter."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    train: tyro.conf.Positional[str]
    """Labelled data to learn from."""
    dev: tyro.conf.Positional[str]
    """Labelled data to score on."""
    task: TaskKind = "classification"
    """What is learned."""
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    """Columns of the tables."""
    train_limit: int | None = None
    """Training examples that are used, spread over all; None takes all."""


def main(options: Options) -> None:
    """Prints the scores of each baseline."""
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
    print(f"{len(train):,} examples to learn from, {len(dev):,} to score on")
    for name, baseline in BASELINES[options.task].items():
        start = time.perf_counter()
        scores = task.score(dev, baseline(train, dev))
        found = "  ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
        print(f"  {name:28} {found}  ({time.perf_counter() - start:.0f} s)")


# --- Texts ----------------------------------------------------------------------------------------


def majority(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """The most frequent class."""
    ((label, _),) = collections.Counter(example.label for example in train).most_common(1)
    return [{"label": label} for _ in dev]


def bag_of_words(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """Logistic regression on TF-IDF; of pairs on both texts and on what they share."""
    vectors = tfidf(train)
    model = LogisticRegression(C=C, max_iter=1000)
    model.fit(features(vectors, train), [str(example.label) for example in train])
    return [{"label": label} for label in model.predict(features(vectors, dev))]


def similarity(train: Sequence[TextExample], dev: Sequence[TextExample]) -> list[Prediction]:
    """The cosine of both texts' TF-IDF vectors, put on the scale of the training scores."""
    vectors = tfidf(train)
    learned, asked = (
        1 - paired_cosine_distances(*map(vectors.transform, columns(examples)))
        for examples in (train, dev)
    )
    slope, start = np.polyfit(learned, [float(str(example.label)) for example in train], 1)
    return [{"score": start + slope * cosine} for cosine in asked.tolist()]


def tfidf(examples: Sequence[TextExample]) -> FeatureUnion:
    """Weights of words, pairs of words, and pieces of words, that occur twice or more."""
    shared: dict[str, Any] = {"min_df": 2, "sublinear_tf": True, "dtype": np.float32}
    words: Any = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", **shared)
    pieces: Any = TfidfVectorizer(ngram_range=(2, 5), analyzer="char_wb", **shared)
    firsts, seconds = columns(examples)
    return FeatureUnion([("words", words), ("pieces", pieces)]).fit(firsts + seconds)


def columns(examples: Sequence[TextExample]) -> tuple[list[str], list[str]]:
    """First texts, and second texts where there are any."""
    return (
        [example.text for example in examples],
        [example.text_b for example in examples if example.text_b is not None],
    )


def features(vectors: FeatureUnion, examples: Sequence[TextExample]) -> Any:
    """Of each example the weights of its text; of a pair also of the second, and their product."""
    firsts, seconds = columns(examples)
    first: Any = vectors.transform(firsts)
    if not seconds:
        return first
    second = vectors.transform(seconds)
    return scipy.sparse.hstack([first, second, first.multiply(second)]).tocsr()


# --- Words ----------------------------------------------------------------------------------------


def frequent_tags(train: Sequence[TagExample], dev: Sequence[TagExample]) -> list[Prediction]:
    """Each word's most frequent tag; a word that was not met has that of words met once."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for example in train:
        for word, tag in zip(example.words, example.label or (), strict=True):
            counts[word][tag] += 1
    rare = sum((c for c in counts.values() if c.total() == 1), collections.Counter())
    (usual, _), *_ = (rare or sum(counts.values(), collections.Counter())).most_common(1)
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [{"tags": [best.get(word, usual) for word in example.words]} for example in dev]


# --- Passages -------------------------------------------------------------------------------------


def overlap(train: Sequence[Question], dev: Sequence[Question]) -> list[Prediction]:
    """The words around which most of the question stands, and in which least of it does."""
    return [{"text": best_span(q.question, q.context), "none_margin": 0.0} for q in dev]


def best_span(question: str, context: str) -> str:
    """A stretch of up to LONGEST_ANSWER words.

    A word counts by the share of its pairs of letters that the question has: particles and endings
    are thus no obstacle. Neighbours count less the farther they are (after Richardson et al. 2013).
    """
    asked = {pair for word in question.lower().split() for pair in letter_pairs(word)}
    words = context.split()
    found = np.array([np.mean([p in asked for p in letter_pairs(w.lower())]) for w in words])
    weights = 1 / np.arange(1, NEARBY + 1)
    padded = np.pad(found, NEARBY)
    before = [weights[::-1] @ padded[i : i + NEARBY] for i in range(len(words) + 1)]
    after = [weights @ padded[i + NEARBY : i + 2 * NEARBY] for i in range(len(words) + 1)]
    inside = np.concatenate([[0.0], np.cumsum(found)])
    spans = [
        (before[i] + after[j] - (inside[j] - inside[i]), i, j)
        for i in range(len(words))
        for j in range(i + 1, min(i + LONGEST_ANSWER, len(words)) + 1)
    ]
    _, start, end = max(spans, default=(0.0, 0, 0))
    return " ".join(words[start:end])


def letter_pairs(word: str) -> list[str]:
    """Neighbouring letters; a single letter stands for itself."""
    return [word[i : i + 2] for i in range(len(word) - 1)] or [word]


BASELINES: dict[str, dict[str, Baseline]] = {
    "classification": {"majority": majority, "TF-IDF, logistic regression": bag_of_words},
    "regression": {"TF-IDF, cosine": similarity},
    "tagging": {"most frequent tag": frequent_tags},
    "question_answering": {"overlap": overlap},
}

if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
