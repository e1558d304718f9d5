import pytest

from bert_jax.labelled.delimited import find_delimiter, is_header


@pytest.mark.parametrize(
    ("lines", "is_csv", "delimiter"),
    [
        (["text;label", "good, film;1", "bad, long, film;0"], True, ";"),
        (["text;label", "good, film;1", "bad;0"], False, ";"),
        (["good, film;1", "bad;0", "so, so;1"], True, ";"),  # without a header
        (["a|b", "c|d"], True, "|"),
        (["text,label", '"a; b",1', "c;d,0"], True, ","),
        (["text", "a; b", "c"], True, ","),
        (["a;b,c", "d;e,f"], True, ","),  # a tie
        (["a\tb", "c, d\te"], True, "\t"),
        (["a\tb", "c;d"], False, "\t"),
        (["a", "b"], False, "\t"),
        ([], True, ","),
    ],
)
def test_the_delimiter_is_the_one_that_splits_rows_evenly(lines, is_csv, delimiter):
    assert find_delimiter(lines, is_csv) == delimiter


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["Mood", "Phrase"], ["1", "a b"], ["0", "c"]], True),
        ([["Mood", "Phrase"], ["1", "a b"], ["zero", "c"]], False),
        ([["Mood", "Phrase"], ["1", "a b"]], False),  # one row proves nothing
        ([["N/A", "Phrase"], ["1", "a b"], ["0", "c"]], False),
        ([["-", "Phrase"], ["1", "a b"], ["0", "c"]], False),
        ([["5", "Phrase"], ["1", "a b"], ["0", "c"]], False),
        ([["how do you feel", "7"], ["1", "a b"], ["0", "c"]], False),
        ([["Mood", "#1 ID", "Phrase"], ["x", "100", "a"], ["y", "101", "c"]], True),
    ],
)
def test_a_word_above_numbers_is_the_name_of_their_column(rows, header):
    assert is_header(rows, {"text"}, ()) == header
