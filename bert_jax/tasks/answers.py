"""How answers are compared: SQuAD's normalisation, and KorQuAD's overlap by character."""

import collections
import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_KORQUAD_MARKS = dict.fromkeys(map(ord, "'\"《》<>〈〉()‘’"), " ")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))


def normalise(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces (SQuAD's `evaluate-v1.1.py`).

    KorQuAD's quotes and brackets, which are no ASCII punctuation, are taken out too.
    """
    text = text.lower().translate(_KORQUAD_MARKS).translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(said: str, gold: str) -> float:
    """1.0 where both are the same after `normalise`."""
    return float(normalise(said) == normalise(gold))


def overlap_f1(said: str, gold: str, by_character: bool = False) -> float:
    """F1 of the words that two answers share, each as often as it occurs in both.

    By character, spaces left out, as KorQuAD's `evaluate-korquad_v1.0.py` does: Korean particles
    cling to their words, so that a word is rarely shared whole.
    """
    found, wanted = (
        list(normalise(text).replace(" ", "")) if by_character else normalise(text).split()
        for text in (said, gold)
    )
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))
