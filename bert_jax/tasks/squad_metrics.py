"""Metrics of answers to questions: exact match and F1, by SQuAD's rules and by KorQuAD's."""

import collections
import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_KORQUAD_MARKS = dict.fromkeys(map(ord, "'\"《》<>〈〉()‘’"), " ")


def normalize_answer(text: str, korquad: bool = False) -> str:
    """Lower-case a text and remove punctuation, extra spaces and English articles.

    These are the rules of SQuAD's `evaluate-v1.1.py`. KorQuAD's `evaluate-korquad_v1.0.py` keeps
    articles, and splits words at quotes and brackets.
    """
    text = text.lower()
    if korquad:
        text = text.translate(_KORQUAD_MARKS).translate(_PUNCTUATION)
    else:
        text = _ARTICLES.sub(" ", text.translate(_PUNCTUATION))
    return " ".join(text.split())


def exact_match(predicted: str, gold: str, korquad: bool = False) -> float:
    """Return 1.0 if both answers are equal after `normalize_answer`, else 0.0."""
    return float(normalize_answer(predicted, korquad) == normalize_answer(gold, korquad))


def overlap_f1(predicted: str, gold: str, korquad: bool = False) -> float:
    """Return F1 of the words that two answers share, each as often as it occurs in both.

    KorQuAD counts characters without spaces: Korean particles are attached to their words, so that
    whole words are rarely shared.
    """
    predicted_units, gold_units = _units(predicted, korquad), _units(gold, korquad)
    if not predicted_units or not gold_units:
        return float(predicted_units == gold_units)
    shared = collections.Counter(predicted_units) & collections.Counter(gold_units)
    return 2 * shared.total() / (len(predicted_units) + len(gold_units))


def _units(text: str, korquad: bool) -> list[str]:
    """Return the words of a normalized answer or, for KorQuAD, its characters."""
    text = normalize_answer(text, korquad)
    return list(text.replace(" ", "")) if korquad else text.split()
