from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus.sentences import choose_mode, split_sentences

PROSE = "It was late. The rain had stopped, and Mr. Smith left. Nobody saw him."


def test_prose_is_split_and_abbreviations_are_not():
    assert [
        s.strip() for s in split_sentences([PROSE, "한국어 문장이다. 둘째 문장이다."], "en")
    ] == [
        "It was late.",
        "The rain had stopped, and Mr. Smith left.",
        "Nobody saw him.",
        "한국어 문장이다.",
        "둘째 문장이다.",
    ]


def test_auto_tells_prose_from_a_sentence_a_line():
    assert choose_mode([PROSE] * 3 + ["A heading"] * 7, "en") == "split"
    assert choose_mode(["One sentence here.", "And another one."] * 5, "en") == "lines"


@given(line=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1))
def test_nothing_of_a_line_is_lost(line):
    assert "".join(split_sentences([line], "en")) == line
