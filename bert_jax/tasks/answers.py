"""How answers are compared: by SQuAD's rules, and by KorQuAD's."""

import collections
import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_KORQUAD_MARKS = dict.fromkeys(map(ord, "'\"《》<>〈〉()‘’"), " ")


def normalise(text: str, korquad: bool = False) -> str:
    """Lower case, no punctuation, single spaces; no English articles (SQuAD's `evaluate-v1.1.py`).

    KorQuAD's `evaluate-korquad_v1.0.py` keeps articles, and parts words at quotes and brackets.
    """
    text = text.lower()
    if korquad:
        text = text.translate(_KORQUAD_MARKS).translate(_PUNCTUATION)
    else:
        text = _ARTICLES.sub(" ", text.translate(_PUNCTUATION))
    return " ".join(text.split())


def exact_match(said: str, gold: str, korquad: bool = False) -> float:
    """1.0 where both are the same after `normalise`."""
    return float(normalise(said, korquad) == normalise(gold, korquad))


def overlap_f1(said: str, gold: str, korquad: bool = False) -> float:
    """F1 of the words that two answers share, each as often as it occurs in both.

    KorQuAD's counts characters, spaces left out: Korean particles cling to their words, so that a
    word is rarely shared whole.
    """
    found, wanted = (
        list(normalise(text, True).replace(" ", "")) if korquad else normalise(text).split()
        for text in (said, gold)
    )
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))
