"""End-to-end tests of prepare.py: sound rows, reproducible bytes, every kind of bad input."""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import BeamConfig, PrepareConfig
from bert_jax.corpus import build
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError, DataError
from bert_jax.reading import sources
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from prepare import command_line
from prepare import main as prepare
from tests.small_texts import make_text, small_vocab

ROOT = Path(__file__).parent.parent


def settings(tmp_path: Path, content: str | bytes, **overrides) -> PrepareConfig:
    """Write a text, and return a small configuration for it."""
    path = tmp_path / "text.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    options = {
        "inputs": (str(path),),
        "output": str(tmp_path / "prepared"),
        "lengths": (32, 64),
        "vocab_size": 200,
        "eval_share": 0.2,
        "bundle_mb": 0.01,
        "workers": 1,
    }
    return PrepareConfig(**options | overrides)


def files(folder: str | Path) -> dict[str, bytes]:
    """Return the bytes of all files in a folder; report.json without its timing."""
    contents = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
    report = json.loads(contents["report.json"])
    del report["timing"]
    contents["report.json"] = json.dumps(report).encode()
    return contents


def sequences(
    data: PreparedData, length: int, split: str
) -> list[tuple[list[int], list[int], int]]:
    """Return all pairs in the rows: tokens of `[CLS] A [SEP]` and `B [SEP]`, and the NSP label."""
    rows = data.rows(length, split)
    batch = rows[np.arange(len(rows))]
    pairs = []
    columns = [batch[name].tolist() for name in ("tokens", "lengths", "is_random_next")]
    for tokens, lengths, labels in zip(*columns, strict=True):
        start = 0
        for (a, b), label in zip(lengths, labels, strict=True):
            if a:
                middle, end = start + a, start + a + b
                pairs.append((tokens[start:middle], tokens[middle:end], label))
                start = end
        assert not any(tokens[start:])
    return pairs


def test_rows_are_pairs_of_the_text(tmp_path):
    config = settings(tmp_path, make_text(120))
    prepare(config)
    data = PreparedData(config.output)
    data.check()
    tokenizer = data.tokenizer
    text = " ".join(Path(config.inputs[0]).read_text().split())
    for length in config.lengths:
        for split in ("train", "eval"):
            for first, second, _ in sequences(data, length, split):
                assert first[0] == tokenizer.cls_id
                assert first[-1] == second[-1] == tokenizer.sep_id
                assert len(first) > 2
                assert len(second) > 1
                assert len(first) + len(second) <= length
                inner = first[1:-1] + second[:-1]
                assert not {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id} & {*inner}
            words = tokenizer.decode(first[1:-1]).removeprefix("##").split()
            assert all(word in text for word in words)


def test_an_actual_next_sentence_follows_and_a_random_one_is_from_another_document(tmp_path):
    config = settings(tmp_path, make_text(60), lengths=(64,), eval_share=0.0, short_seq_prob=0.5)
    report = prepare(config)
    data = PreparedData(config.output)
    # every sentence of document n ends in "number n."
    pattern = [data.tokenizer.encode(f"number {n}.") for n in range(60)]

    def documents(ids: list[int]) -> set[int]:
        text = " ".join(map(str, [*ids, ""]))
        return {n for n, ids in enumerate(pattern) if " ".join(map(str, [*ids, ""])) in text}

    counts = {0: 0, 1: 0}
    for first, second, label in sequences(data, 64, "train"):
        a, b = documents(first[1:-1]), documents(second[:-1])
        if len(a) == len(b) == 1:
            assert (a != b) == bool(label)
            counts[label] += 1
    assert min(counts.values()) > 50
    assert report["datasets"]["64"]["splits"]["train"]["same_document_randoms"] == 0


def test_the_report_adds_up(tmp_path):
    config = settings(tmp_path, make_text(100) + "\n" + make_text(100)[:300] + "\n")
    report = prepare(config)
    text, by_split = report["text"], report["text_by_split"]
    for name in ("documents", "sentences", "tokens", "bytes"):
        assert text[name] == by_split["train"][name] + by_split["eval"][name]
    assert 100 <= text["documents"] <= 102
    assert 0 < text["duplicate_line_share"] < 0.1
    assert text["unk_share"] == 0
    data = PreparedData(config.output)
    for length in config.lengths:
        for split in ("train", "eval"):
            entry = report["datasets"][str(length)]["splits"][split]
            pairs = sequences(data, length, split)
            assert entry["pairs"] == len(pairs) == sum(entry["pair_length_histogram"])
            assert entry["tokens"] == sum(len(a) + len(b) for a, b, _ in pairs)
            assert entry["random_next_share"] * len(pairs) == pytest.approx(
                sum(label for *_, label in pairs)
            )
            assert entry["rows"] == len(data.rows(length, split))
            assert entry["rows"] == sum(shard["rows"] for shard in entry["shards"])


def test_tokens_that_truncation_takes_are_counted(tmp_path, capsys):
    """Sentences that are short for a row lose no tokens; of two of 40, a row of 64 holds one."""
    short = "\n".join(["a b c"] * 8)
    options = {"lengths": (64,), "eval_share": 0.0, "short_seq_prob": 0.0, "dupe_factor": 2}
    config = settings(tmp_path, f"{short}\n\n{short} d\n\n", **options)
    entry = prepare(config)["datasets"]["64"]["splits"]["train"]
    assert (entry["tokens_cut"], entry["cut_share"]) == (0, 0.0)
    long = "\n".join(["x " * 40] * 8)
    config = settings(tmp_path, f"{short}\n\n{short} d\n\n{long}\n\n", **options)
    report = prepare(config)
    entry = report["datasets"]["64"]["splits"]["train"]
    tokens = report["text"]["tokens"]
    assert tokens == 24 + 25 + 320
    kept = sum(
        len(a) - 2 + (0 if is_random else len(b) - 1)
        for a, b, is_random in sequences(PreparedData(config.output), 64, "train")
    )
    assert entry["tokens_cut"] == 2 * tokens - kept > 100
    assert entry["cut_share"] == entry["tokens_cut"] / (2 * tokens) > 0.2
    assert "of the tokens are cut off in a pass" in capsys.readouterr().out


def test_a_sentence_that_is_longer_than_a_row_is_used_in_pieces(tmp_path):
    """All of an endless line is in rows, most of it next to what follows it in the text."""
    numbers = [f"n{i:03d}" for i in range(400)]
    texts = [" ".join(numbers), " ".join(reversed(numbers))]
    config = settings(
        tmp_path, "\n\n".join(texts), lengths=(64,), eval_share=0.0, short_seq_prob=0.0,
        vocab_size=2000, sentences="split",
    )  # fmt: skip
    report = prepare(config)
    entry = report["datasets"]["64"]["splits"]["train"]
    assert report["sentences_cut"] == {"64": 2}
    assert entry["cut_share"] < 0.2
    assert 0.3 < entry["random_next_share"] < 0.7
    assert not any("--sentences split" in warning for warning in report["warnings"])
    data = PreparedData(config.output)
    rank = {token: i for i, token in enumerate(data.tokenizer.encode(texts[0]))}
    for a, b, is_random in sequences(data, 64, "train"):
        ranks = [rank[token] for token in (*a[1:-1], *b[:-1])]
        if not is_random:  # B follows A; truncation may take tokens between them
            assert ranks in (sorted(ranks), sorted(ranks, reverse=True))


def segments(data: PreparedData, length: int, split: str) -> list[list[int]]:
    """Return all sequences of rows without NSP: tokens of `[CLS] A [SEP]`."""
    rows = data.rows(length, split)
    batch = rows[np.arange(len(rows))]
    assert set(batch) == {"tokens", "lengths", "row"}
    assert not batch["lengths"][..., 1].any()
    found = []
    for tokens, sizes in zip(batch["tokens"].tolist(), batch["lengths"][..., 0], strict=True):
        ends = np.cumsum(sizes)
        found += [tokens[end - size : end] for end, size in zip(ends, sizes, strict=True) if size]
        assert not any(tokens[ends[-1] :])
    return found


def test_rows_without_nsp_are_whole_sentences_of_one_document_and_lose_none(tmp_path):
    text = make_text(60)
    config = settings(tmp_path, text, nsp=False, short_seq_prob=0.5)
    report = prepare(config)
    data = PreparedData(config.output)
    data.check()
    assert not data.nsp
    cls, sep = data.tokenizer.cls_id, data.tokenizer.sep_id
    documents = [
        [data.tokenizer.encode(line) for line in document.split("\n")]
        for document in text.strip().split("\n\n")
    ]
    runs = {
        (cls, *itertools.chain(*document[i:j]), sep)
        for document in documents
        for i, j in itertools.combinations(range(len(document) + 1), 2)
    }
    for length in config.lengths:
        features = json.loads((Path(config.output) / f"T{length}" / "features.json").read_text())
        assert set(features["featuresDict"]["features"]) == {"tokens", "lengths"}
        total = 0
        for split in ("train", "eval"):
            found = segments(data, length, split)
            assert {tuple(segment) for segment in found} <= runs
            entry = report["datasets"][str(length)]["splits"][split]
            assert entry["sequences"] == len(found) == sum(entry["sequence_length_histogram"])
            assert entry["cut_share"] == 0
            assert not {"nsp_majority", "random_next_share"} & set(entry)
            total += sum(map(len, found)) - 2 * len(found)
        assert total == report["text"]["tokens"]


def test_without_nsp_one_document_is_enough(tmp_path):
    config = settings(tmp_path, "one document\nof two lines", nsp=False, eval_share=0.0)
    report = prepare(config)
    assert report["datasets"]["32"]["splits"]["train"]["sequences"] == 1
    with pytest.raises(DataError, match=r"the eval split has no document(.|\n)*--eval-share 0"):
        prepare(dataclasses.replace(config, eval_share=0.01))


@pytest.mark.parametrize("vocab", [False, True])
def test_a_split_that_would_be_empty_is_refused_before_rows_are_made(tmp_path, vocab, monkeypatch):
    config = settings(tmp_path, make_text(40), eval_share=0.001)
    if vocab:
        (tmp_path / "vocab.txt").write_text("\n".join(small_vocab()))
        config = dataclasses.replace(config, vocab=str(tmp_path / "vocab.txt"))
    monkeypatch.setattr("prepare.build_with_workers", lambda *args: pytest.fail("rows were made"))
    with pytest.raises(DataError, match="eval split has fewer than two") as caught:
        prepare(config)
    assert not [path for path in Path(config.output).rglob("*") if path.name != "LOCK"]
    monkeypatch.undo()
    share = float(re.search(r"pass --eval-share ([0-9.]+)", str(caught.value))[1])
    assert share > 0
    prepare(dataclasses.replace(config, eval_share=share))


def test_one_or_three_workers_and_beam_write_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PART_BYTES", 1)  # each file its own part
    text = make_text(400)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.txt").write_text(make_text(100, seed=1))
    first = settings(tmp_path, text, output=str(tmp_path / "one"))
    first = dataclasses.replace(first, inputs=(*first.inputs, str(tmp_path / "more")))
    prepare(first)
    prepare(dataclasses.replace(first, output=str(tmp_path / "three"), workers=3))
    prepare(
        dataclasses.replace(first, output=str(tmp_path / "beam"), beam=BeamConfig("DirectRunner"))
    )
    one, three, beam = (files(tmp_path / name) for name in ("one", "three", "beam"))
    assert len([name for name in one if "train" in name]) > 6
    assert one == three
    assert one == beam


def test_running_again_writes_the_same_and_removes_what_is_stale(tmp_path):
    config = settings(tmp_path, make_text(60))
    prepare(config)
    before = files(config.output)
    prepare(dataclasses.replace(config, bundle_mb=0.002))
    assert files(config.output) != before
    (Path(config.output) / "mine.txt").write_text("mine")
    prepare(config)
    after = files(config.output)
    assert after.pop("mine.txt") == b"mine"
    assert after == before


def test_an_output_inside_of_the_input_folder_is_not_read_the_second_time(tmp_path):
    config = dataclasses.replace(settings(tmp_path, make_text(60)), inputs=(str(tmp_path),))
    prepare(config)
    before = files(config.output)
    prepare(config)
    assert files(config.output) == before


def test_a_text_that_is_refused_leaves_what_an_earlier_run_finished(tmp_path):
    config = settings(tmp_path, make_text(60))
    prepare(config)
    before = files(config.output)
    Path(config.inputs[0]).write_text("a single document")
    with pytest.raises(DataError, match="single document"):
        prepare(dataclasses.replace(config, eval_share=0.0))
    assert files(config.output) == before
    PreparedData(config.output).check()


def test_a_run_that_fails_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    config = settings(tmp_path, make_text(60))
    prepare(config)

    def fail(*args):
        raise DataError("rows cannot be made", "rows", "none")

    monkeypatch.setattr("prepare.build_with_workers", fail)
    with pytest.raises(DataError, match="rows cannot be made"):
        prepare(config)
    with pytest.raises(DataError, match="no finished prepared data"):
        PreparedData(config.output)


def test_another_seed_gives_other_rows(tmp_path):
    config = settings(tmp_path, make_text(60))
    one = prepare(config)
    two = prepare(dataclasses.replace(config, seed=1))
    assert one["fingerprint"] != two["fingerprint"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n  \n\t\n\n"),
        lambda text: text.replace(" ", "\x00 ", 50),
        lambda text: text.replace("the", "th\x01e"),
    ],
    ids=["CRLF", "BOM", "BOM and CRLF", "blank lines", "NUL", "control characters"],
)
def test_variants_of_a_text_give_the_same_rows(tmp_path, change):
    text = make_text(60)
    plain = files(prepare_in(tmp_path / "plain", text))
    other = files(prepare_in(tmp_path / "other", change(text)))
    assert {n: c for n, c in plain.items() if "array_record" in n or "vocab" in n} == {
        n: c for n, c in other.items() if "array_record" in n or "vocab" in n
    }


def prepare_in(folder: Path, text: str | bytes) -> str:
    folder.mkdir()
    config = settings(folder, text)
    prepare(config)
    return config.output


GOOD = make_text(40).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD + b"\n\nbroken \xff\xfe bytes here\n", "cannot be decoded"),
        (GOOD + b"\n\nnul \x00 here\n", "NUL"),
        (GOOD + "\n\nline\u2028separator\n".encode(), "U+2028"),
        (GOOD + "\n\nnext\x85line\n".encode(), "control characters"),
        (GOOD + b"\n\n" + b"word " * 1_000_000, "line longer than"),
        (GOOD + b"\n\n" + b"x" * 3_000_000, "line longer than"),
    ],
)
def test_bad_text_is_counted_with_its_location(tmp_path, content, reason):
    report = prepare(settings(tmp_path, content))
    (entry,) = [entry for name, entry in report["bad_input"].items() if reason in name]
    assert entry["count"] >= 1
    path, _, line = entry["first"][0].rpartition(":")
    assert Path(path).name == "text.txt"
    assert int(line) > 1


def test_documents_of_one_sentence_are_paired_at_random(tmp_path):
    report = prepare(settings(tmp_path, "\n\n".join(f"only number {n} here" for n in range(50))))
    entry = report["datasets"]["32"]["splits"]["train"]
    assert entry["random_next_share"] == 1
    assert entry["same_document_randoms"] == 0


def test_documents_without_a_token_do_not_matter(tmp_path):
    text = make_text(40) + "\n\u200b\n\n\u200b\u200d\n\n"
    report = prepare(settings(tmp_path, text))
    assert report["text"]["documents_without_tokens"] == 2


@pytest.mark.parametrize(
    ("content", "overrides", "message"),
    [
        (b"", {}, "corpus is empty"),
        (b"\n \n\r\n\t\n", {}, "corpus is empty"),
        (b"\x00\x01\n\x02", {}, "corpus is empty"),
        (b"one document\nof two lines", {"eval_share": 0.0}, "single document"),
        (b"twice\n\ntwice\n\ntwice\n", {"eval_share": 0.0}, "single document"),
        (b"one\n\ntwo\n\nthree\n", {"eval_share": 0.001}, "eval split has fewer than two"),
        (GOOD, {"eval_share": 0.99}, "train split has fewer than two"),
        ("text".encode("utf-16"), {}, "is UTF-16"),
    ],
)
def test_what_cannot_work_is_refused_by_name(tmp_path, content, overrides, message):
    config = settings(tmp_path, content, **overrides)
    with pytest.raises(DataError, match=message) as caught:
        prepare(config)
    assert str(caught.value).count("\n") == 2
    assert not (Path(config.output) / "report.json").exists()


def test_a_given_vocabulary_is_used_and_a_bad_one_refused(tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nof\n")
    config = settings(tmp_path, make_text(40), vocab=str(vocab))
    report = prepare(config)
    assert report["vocab_size"] == 7
    assert any("[UNK]" in warning for warning in report["warnings"])
    vocab.write_text("[PAD]\n[UNK]\n")
    with pytest.raises(ConfigError, match="missing among 2 tokens"):
        prepare(config)


def test_the_tokenizer_of_a_folder_brings_its_casing_and_gets_new_words(tmp_path, capsys):
    old = Tokenizer(small_vocab(), Casing(lowercase=True, strip_accents=False))
    old.save(tmp_path / "run" / "tokenizer")
    (tmp_path / "words.txt").write_text("number\nthe\nNumber 3.\n")
    config = settings(
        tmp_path, make_text(40), vocab=str(tmp_path / "run"), add_tokens=str(tmp_path / "words.txt")
    )
    report = prepare(config)
    assert report["config"]["lowercase"] is True
    assert "2 new words, ids from" in capsys.readouterr().out
    tokenizer = PreparedData(config.output).tokenizer
    assert tokenizer.casing == old.casing
    assert tokenizer.vocab == [*old.vocab, "number", "Number 3."]
    rows = PreparedData(config.output).rows(32)
    assert {old.vocab_size, old.vocab_size + 1} <= set(rows[np.arange(len(rows))]["tokens"].flat)
    for wrong in ({"strip_accents": True}, {"vocab": config.vocab, "max_word_length": 0}):
        with pytest.raises(ConfigError, match=r"has True, False|max_word_length = 0"):
            prepare(dataclasses.replace(config, **wrong))


def test_unpacked_rows_hold_one_pair_each(tmp_path):
    config = settings(tmp_path, make_text(60), pack=False)
    report = prepare(config)
    for length in config.lengths:
        entry = report["datasets"][str(length)]
        assert entry["max_sequences"] == 1
        for split in entry["splits"].values():
            assert split["rows"] == split["pairs"]


def test_more_passes_make_more_pairs(tmp_path):
    once = prepare(settings(tmp_path, make_text(60)))
    twice = prepare(settings(tmp_path, make_text(60), dupe_factor=2))
    one, two = (r["datasets"]["64"]["splits"]["train"]["pairs"] for r in (once, twice))
    assert 1.8 < two / one < 2.2


def test_the_command_line(tmp_path, monkeypatch, capsys):
    config = settings(tmp_path, make_text(60))
    arguments = ["prepare.py", *config.inputs, "--output", config.output, "--lengths", "32", "64",
                 "--vocab-size", "200", "--eval-share", "0.2"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    assert command_line() == 0
    printed = capsys.readouterr().out
    assert "T64 train" in printed
    assert "unigram entropy" in printed
    monkeypatch.setattr(sys, "argv", ["prepare.py", str(tmp_path / "txt"), "--output", "x"])
    assert command_line() == 3
    lines = capsys.readouterr().err.strip().split("\n")
    assert [line.split(":")[0].strip() for line in lines] == ["error", "expected", "fix"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--eval-share", "2"])
    with pytest.raises(SystemExit) as caught:
        sys.exit(command_line())
    assert caught.value.code == 2


def run_command_line(monkeypatch, config: PrepareConfig, *options: str) -> int:
    arguments = ["prepare.py", *config.inputs, "--output", config.output, "--lengths", "32",
                 "--vocab-size", "200", "--eval-share", "0.2", *options]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        return command_line()
    except SystemExit as error:
        return error.code  # type: ignore[return-value]


def shards(output: str) -> dict[str, bytes]:
    return {name: content for name, content in files(output).items() if "array_record" in name}


def test_text_in_another_encoding_or_format_gives_the_same_rows(tmp_path):
    documents = make_text(60).replace("the", "é").strip().split("\n\n")
    texts = ["\n".join(document.split("\n")[:1]) for document in documents]
    plain = prepare_in(tmp_path / "plain", "\n\n".join(texts))
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for folder in (one, two, three):
        folder.mkdir()
    prepare(settings(one, "\n\n".join(texts).encode("utf-16"), encoding="utf-16"))
    prepare(settings(two, "\n".join(texts), documents="lines"))
    table = three / "table.csv"
    table.write_text("body;id\n" + "".join(f'"{text}";1\n' for text in texts))
    report = prepare(settings(three, "", inputs=(str(table),), text_column="body"))
    assert "table with semicolon as the delimiter (read so)" in report["bad_input"]
    for folder in (one, two, three):
        assert shards(str(folder / "prepared")) == shards(plain)


def test_an_unknown_encoding_is_refused(tmp_path):
    for name in ("klingon", "hex"):
        with pytest.raises(ConfigError, match=f"encoding = '{name}'(.|\n)*such as cp949"):
            settings(tmp_path, "text", encoding=name)


def test_text_that_is_not_read_is_named_where_the_corpus_is_empty(tmp_path):
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"text": 1}\n' * 40)
    config = settings(tmp_path, "", inputs=(str(path),))
    with pytest.raises(
        DataError, match=r"empty: .*; 40 x record with int in place of text"
    ) as caught:
        prepare(config)
    assert str(caught.value).count("\n") == 2


def test_a_second_prepare_is_refused_and_the_first_one_continues(tmp_path, monkeypatch, capsys):
    config = settings(tmp_path, make_text(60))
    prepare(config)
    before = files(config.output)
    hold = "import sys; from pathlib import Path; from bert_jax.filesystem import lock_folder\n"
    hold += "with lock_folder(Path(sys.argv[1]), 'another prepare.py'): print(flush=True); input()"
    command = [sys.executable, "-c", hold, config.output]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        assert run_command_line(monkeypatch, config) == 2
        first.communicate("\n")
    errors = capsys.readouterr().err
    assert f"{config.output} is in use by another prepare.py" in errors
    assert errors.count("\n") == 3
    assert {**files(config.output), "LOCK": b""} == before


class FullDisk:
    """An ArrayRecord writer on a full disk, as the library tells it."""

    def __init__(self, path: str, options: str):
        self.path = path
        Path(path).write_bytes(b"half of a sh")

    def write(self, record: bytes) -> None:
        pass

    def close(self) -> None:
        text = f"write() failed: No space left on device; writing {self.path}; at byte 12"
        raise RuntimeError(text)


def test_a_full_disk_is_three_lines_and_leaves_nothing_unfinished(tmp_path, monkeypatch, capsys):
    config = settings(tmp_path, make_text(60), lengths=(32,))
    prepare(config)
    monkeypatch.setattr(build, "ArrayRecordWriter", FullDisk)
    assert run_command_line(monkeypatch, config) == 3
    errors = capsys.readouterr().err
    assert errors.count("\n") == 3
    assert "No space left on device\n  expected: free space on the disk" in errors
    left = {path.name for path in Path(config.output).iterdir()}
    assert left == {"LOCK", "tokenizer"}


def test_a_mistake_that_is_found_early_leaves_earlier_data_alone(tmp_path, monkeypatch):
    config = settings(tmp_path, make_text(60))
    prepare(config)
    before = files(config.output)
    assert run_command_line(monkeypatch, config, "--vocab", str(tmp_path / "none")) == 2
    assert files(config.output) == before


def test_an_output_that_is_a_file_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        config = settings(tmp_path, make_text(60), output=str(output))
        assert run_command_line(monkeypatch, config) == 2
        assert capsys.readouterr().err.count("\n") == 3
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.heavy
def test_errors_of_workers_are_three_lines(tmp_path):
    """A limit on the size of files stands for a full disk: the tokenizer fits, a shard does not."""
    config = settings(tmp_path, make_text(900))
    command = ["bash", "-c", 'ulimit -f 30; exec "$@"', "-", sys.executable, "prepare.py",
               *config.inputs, "--output", config.output, "--lengths", "32", "--vocab-size", "200",
               "--workers", "2", "--bundle-mb", "0.1"]  # fmt: skip
    for options in ([], ["--beam.runner", "DirectRunner"]):
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
        lines = done.stderr.strip().split("\n")[-3:]
        assert done.returncode == 3
        assert lines[0].endswith("File too large")
        assert [line.split(":")[0].strip() for line in lines] == ["error", "expected", "fix"]
        assert "Traceback" not in done.stderr or options  # Beam logs what it meets
        assert {path.name for path in Path(config.output).iterdir()} == {"LOCK", "tokenizer"}


@pytest.mark.heavy
def test_memory_stays_below_a_gigabyte(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("w") as file:
        for seed in range(45):
            file.write(make_text(4000, seed, sentences=40) + "\n")
            if seed % 10 == 0:
                file.write("word " * 2_000_000 + "\n\n")
    assert path.stat().st_size > 190e6
    command = [sys.executable, "prepare.py", str(path), "--output", str(tmp_path / "out"),
               "--vocab-size", "2000", "--workers", "2"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(0.1)
    assert process.returncode == 0
    print(f"peak {peak / 1e6:.0f} MB")
    assert peak < 1e9


def tree_memory(pid: int) -> int:
    """Return the bytes held by a process and its children (shared memory is divided among them)."""
    total, pending = 0, [pid]
    while pending:
        pid = pending.pop()
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
            for thread in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                pending += map(int, children.split())
        except OSError:
            continue  # it has ended
    return total * 1024


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_tokenizer_of_another_kind_is_trained_and_used_again(tmp_path, kind):
    config = settings(tmp_path, make_text(40), tokenizer=kind, vocab_size=300)
    report = prepare(config)
    data = PreparedData(config.output)
    tokenizer = data.tokenizer
    assert tokenizer.sha256 == report["tokenizer_sha256"]
    assert report["text"]["unk_share"] == 0
    text = "".join(make_text(40).split())
    for first, second, _ in sequences(data, 64, "train"):
        for tokens in (first, second):
            assert "".join(tokenizer.decode(tokens).split()) in text
    again = dataclasses.replace(config, output=str(tmp_path / "again"), tokenizer="wordpiece")
    prepare(dataclasses.replace(again, vocab=config.output))
    ours, theirs = (files(folder) for folder in (config.output, tmp_path / "again"))
    assert {k: v for k, v in ours.items() if k != "report.json"} == {
        k: v for k, v in theirs.items() if k != "report.json"
    }


def test_a_longest_word_is_an_option_of_wordpiece():
    with pytest.raises(ConfigError, match="no such limit with --tokenizer bpe"):
        PrepareConfig(("x",), "y", tokenizer="bpe", max_word_length=50)
