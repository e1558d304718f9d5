import codecs
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.errors import DataError
from bert_jax.reading import encodings
from bert_jax.reading.encodings import check_encoding, refuse_marks
from bert_jax.reading.streams import open_text, read_samples

KOREAN = "오늘은 날씨가 매우 좋습니다. 우리는 학교에 갑니다.\n그는 책을 읽고 있습니다.\n" * 20
JAPANESE = "これは日本語の文章です。今日は天気がとても良いです。\n私たちは学校に行きます。\n" * 20
CHINESE = "这是一个中文句子。今天天气很好。\n我们去学校。他在看书。\n" * 20
RUSSIAN = "Это предложение на русском языке. Сегодня хорошая погода.\nМы идём в школу.\n" * 20
FRENCH = "Voilà une phrase écrite à l'école. Il était fatigué.\nNous sommes allés en forêt.\n" * 20
ENGLISH = "This is an English sentence.\nAnother one follows it.\n" * 20


def check(corpus, content: bytes, encoding: str | None = None) -> bool:
    name = corpus(content)
    return check_encoding(name, read_samples(name), encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (KOREAN, "cp949"),
        (KOREAN, "johab"),
        (KOREAN, "utf-16-le"),
        (KOREAN, "utf-16-be"),
        (KOREAN, "utf-32-le"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jis_2004"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (ENGLISH, "utf-16-le"),
        (ENGLISH, "utf-16-be"),
    ],
)
def test_the_encoding_of_a_text_is_named_and_the_advice_works(corpus, tmp_path, text, encoding):
    name = corpus(text.encode(encoding))
    with pytest.raises(DataError) as caught:
        check_encoding(name, read_samples(name), None)
    message = str(caught.value)
    assert f"100% of the lines cannot be decoded as UTF-8; it seems to be {encoding}\n" in message
    assert message.count("\n") == 2
    assert f"pass --encoding {encoding}" in message
    with open_text(name, encoding) as stream:
        assert stream.read().decode() == text
    assert check_encoding(name, read_samples(name), encoding)
    if shutil.which("iconv") and encoding != "iso2022_jp":
        command = message.partition("convert it: ")[2]
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
        assert (tmp_path / "new.txt").read_text() == text


@pytest.mark.parametrize(
    ("text", "encoding"), [(FRENCH, "cp1252"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r")]
)
def test_of_8_bit_encodings_several_may_be_named_the_right_one_first(corpus, text, encoding):
    message = f"an 8-bit encoding, perhaps {encoding.replace('_', '-')}"
    with pytest.raises(DataError, match=f"{message}(.|\n)*find out in which one"):
        check(corpus, text.encode(encoding))


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
    ],
)
def test_a_byte_order_mark_names_its_encoding(mark, encoding):
    with pytest.raises(DataError, match=f"is {encoding} (.|\n)*pass --encoding {encoding.lower()}"):
        refuse_marks("a.txt", mark + b"a\0")
    with pytest.raises(DataError, match="fix:      convert it: iconv"):
        refuse_marks("a.txt", mark + b"a\0", has_option=False)


def test_utf8_is_not_taken_for_another_encoding(corpus):
    with pytest.raises(DataError, match=r"is UTF-8, not latin-1(.|\n)*leave --encoding out"):
        check(corpus, KOREAN.encode(), "latin-1")
    with pytest.raises(DataError, match="is UTF-8, not utf-16"):
        check(corpus, codecs.BOM_UTF8 + ENGLISH.encode(), "utf-16")
    with pytest.raises(DataError, match="cannot be decoded as shift_jis; it seems to be cp949"):
        check(corpus, KOREAN.encode("cp949"), "shift_jis")
    assert check(corpus, ENGLISH.encode(), "cp1252")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        ENGLISH.encode() + b"bad \xff\xfe bytes\nnul \x00 here\n",
        KOREAN.encode() + b"\xff\n" * 10,
        codecs.BOM_UTF8 + KOREAN.encode(),
        "already \ufffd replaced\n".encode() * 50,
        (KOREAN.replace("\n", " ") * 9 + "\n").encode().replace(b" ", b"\xff", 30),
    ],
    ids=["empty", "blank", "few bad lines", "some bad lines", "mark", "U+FFFD", "long lines"],
)
def test_a_text_with_some_damage_is_accepted(corpus, content):
    assert check(corpus, content)


def test_a_file_is_examined_beyond_its_beginning(corpus):
    content = ENGLISH.encode() * 20 + KOREAN.encode("cp949") * 200
    assert check(corpus, content[: 20 * len(ENGLISH)])
    with pytest.raises(DataError, match="lines cannot be decoded as UTF-8"):
        check(corpus, content)


def test_random_bytes_are_no_text(corpus):
    assert not check(corpus, random.Random(0).randbytes(100_000))


@given(
    text=st.text(st.sampled_from("ab 한é\n\U0001f600漢"), max_size=60),
    encoding=st.sampled_from(["utf-16", "utf-16-le", "utf-32-be", "gb18030", "utf-7"]),
    block=st.integers(1, 9),
    size=st.integers(1, 9),
)
def test_recoded_text_is_the_text_wherever_blocks_end(
    tmp_path_factory, text, encoding, block, size
):
    path = tmp_path_factory.mktemp("recoded") / "a.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "BLOCK_BYTES", block)
        with open_text(str(path), encoding) as stream:
            read = b"".join(iter(lambda: stream.read(size), b""))
    assert read.decode() == text
