import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.reading import cleaning
from bert_jax.reading.cleaning import Findings, clean_lines


def lines(data: bytes) -> tuple[list[str], Findings]:
    findings = Findings()
    return list(clean_lines(io.BytesIO(data), "f", findings)), findings


def test_plain_text_comes_through():
    assert lines(b"one\n two \n\nthree")[0] == ["one", "two", "", "three"]


@pytest.mark.parametrize(
    "data",
    [
        "Ein Satz.\nZwei.\n\n다른 글.\n".encode(),
        "Ein Satz.\r\nZwei.\r\n\r\n다른 글.\r\n".encode(),
        "\ufeffEin Satz.\nZwei.\n\n다른 글.\n".encode(),
        "\ufeffEin Satz.\r\nZwei.\r\n\r\n다른 글.".encode(),
        "  Ein Satz.\t\nZwei. \n \t \n다른 글.\n".encode(),
    ],
)
def test_line_endings_and_a_byte_order_mark_do_not_matter(data):
    cleaned, findings = lines(data)
    assert [line for line in cleaned if line] == ["Ein Satz.", "Zwei.", "다른 글."]
    assert cleaned[2] == ""
    assert not findings.counts


@pytest.mark.parametrize(
    ("data", "expected", "reason"),
    [
        (b"a\xffb\n", "a\ufffdb", "cannot be decoded"),
        (b"a\xed\xa0\x80b", "a\ufffd\ufffd\ufffdb", "cannot be decoded"),
        (b"a\x00b\n", "ab", "NUL"),
        (b"a\x01\x0b\x0c\x1c\x7fb\n", "ab", "control characters"),
        ("a\x85b\n".encode(), "ab", "control characters"),
        ("a\u2028b\u2029c\n".encode(), "a b c", "U\\+2028"),
        (b"a\rb\n", "a b", "lone carriage return"),
        ("a\ufeffb\n".encode(), "ab", "byte order mark inside"),
    ],
)
def test_what_is_no_text_is_taken_out_and_counted(data, expected, reason):
    cleaned, findings = lines(b"fine\n" + data)
    assert cleaned[:2] == ["fine", expected]
    assert len(cleaned) <= 3  # none of these ends a line
    ((name, count),) = findings.counts.items()
    assert reason.replace("\\", "") in name
    assert count == 1
    assert findings.examples[name] == ["f:2"]


def test_only_the_first_locations_are_kept():
    _, findings = lines(b"\x01x\n" * 10)
    assert list(findings.counts.values()) == [10]
    assert findings.examples == {"line with control characters (removed)": ["f:1", "f:2", "f:3"]}


def test_long_lines_are_cut_at_spaces_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(cleaning, "MAX_LINE_CHARS", 20)
    monkeypatch.setattr(cleaning, "BLOCK_BYTES", 7)
    words = [f"word{number}" for number in range(50)]
    cleaned, findings = lines(" ".join(words).encode() + b"\nnext\n" + b"x" * 50)
    assert " ".join(cleaned).split()[:51] == [*words, "next"]
    assert "".join(cleaned).endswith("next" + "x" * 50)
    assert max(map(len, cleaned)) <= 20
    assert "" not in cleaned
    (name,) = findings.counts
    assert name.startswith("line longer than 20 characters")
    assert findings.examples[name] == ["f:1", "f:3"]


def test_one_bad_character_does_not_make_the_rest_of_the_file_slow(monkeypatch):
    monkeypatch.setattr(cleaning, "BLOCK_BYTES", 96)  # never ends with a line here
    searched, original = [], cleaning.clean_line
    monkeypatch.setattr(
        cleaning, "clean_line", lambda *args: searched.append(args[0]) or original(*args)
    )
    cleaned, findings = lines(b"a\x00b\n" + b"clean words\n" * 200)
    assert cleaned == ["ab", *["clean words"] * 200, ""]
    assert list(findings.counts.values()) == [1]
    assert searched[0] == "a\x00b"
    assert len(searched) < 20  # those of its block


@given(
    text=st.text(st.sampled_from("ab 한é\x85\xa0\ufffd\u2028\x00\x0c\n\n"), max_size=80),
    block=st.integers(1, 9),
    longest=st.integers(1, 12),
)
def test_blocks_and_line_ends_do_not_matter(text, block, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "MAX_LINE_CHARS", longest)
        whole = lines(text.encode())
        patch.setattr(cleaning, "BLOCK_BYTES", block)
        assert lines(text.encode())[0] == whole[0]
        assert lines(b"\xef\xbb\xbf" + text.encode())[0] == whole[0]
        crlf = text.replace("\n", "\r\n")
        assert lines(crlf.encode())[0] == whole[0]


@given(data=st.binary(max_size=200))
def test_any_bytes_give_clean_lines(data):
    for line in lines(data)[0]:
        assert line == line.strip()
        assert not any(c < " " and c != "\t" for c in line)
