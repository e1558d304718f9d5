import pytest

from bert_jax.errors import ConfigError
from bert_jax.tokenizer import vocab_file
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS
from bert_jax.tokenizer.vocab_file import read_vocab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(["[PAD]", "[UNK]", "[CLS]", "a"]), r"\[SEP\] \[MASK\] missing among 4 tokens"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
        ("a\n" * 10, "has 10 tokens\n.*at most 9"),
        ("a" * 200, "more than 100 bytes"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(vocab_file, "MAX_TOKENS", 9)
    monkeypatch.setattr(vocab_file, "MAX_BYTES", 100)
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message) as caught:
        read_vocab(path)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_a_byte_order_mark_do_not_matter(tmp_path, ending, bom):
    tokens = [*SPECIAL_TOKENS, "a", "##b", "\u2028", "\x85"]
    (tmp_path / "vocab.txt").write_bytes(bom + "".join(t + ending for t in tokens).encode())
    assert read_vocab(tmp_path / "vocab.txt") == tokens


def test_every_id_is_kept_where_a_token_is_missing_or_comes_again(tmp_path):
    lines = [*SPECIAL_TOKENS, "a", "", "b", "[unused1]", "a", "", "", "c", "", ""]
    (tmp_path / "vocab.txt").write_text("\n".join(lines))
    messages = []
    assert read_vocab(tmp_path / "vocab.txt", messages.append) == [
        *SPECIAL_TOKENS, "[unused0]", "[unused2]", "b", "[unused1]", "a", "[unused3]", "[unused4]",
        "c",
    ]  # fmt: skip
    (message,) = messages
    assert "id 5 ('a' is also id 9) is named [unused0]; id 6 (no token) is named" in message
    assert "and 1 more; all ids stay as they are" in message


def test_a_warning_goes_to_stderr(tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "", "a"]))
    read_vocab(tmp_path / "vocab.txt")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("warning: ")
