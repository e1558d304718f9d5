import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus import bundles as bundles_module
from bert_jax.corpus.bundles import (
    Bundle,
    BundleOptions,
    Member,
    cut_bundles,
    has_tokens,
    read_members,
)
from bert_jax.corpus.heldout import hash_text
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import ReadOptions, Source


def member(text: str, continues: bool = False, identity: int | None = None) -> Member:
    data = text.encode()
    return Member(hash_text(data) if identity is None else identity, data, continues)


def cut(members, eval_share=0.0, size=10) -> tuple[list[Bundle], Findings]:
    findings = Findings()
    options = BundleOptions(size, eval_share, seed=0)
    return list(cut_bundles(members, 0, options, findings)), findings


def test_bundles_are_consecutive_and_of_about_one_size():
    bundles, _ = cut([member(f"text{i}") for i in range(7)])
    texts = [[m.text.decode()[-1] for m in bundle.members] for bundle in bundles]
    assert texts == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
    assert [bundle.index for bundle in bundles] == [0, 1, 2, 3]
    assert not any(bundle.companions for bundle in bundles[:-1])
    assert {m.text for m in bundles[-1].companions} == {b"text4", b"text5"}


def test_a_bundle_always_has_two_different_documents_to_draw_from():
    members = [member("the same text")] * 5 + [member("another")] + [member("the same text")] * 3
    bundles, _ = cut(members)
    assert sum(len(bundle.members) for bundle in bundles) == 9
    for bundle in bundles:
        assert len({m.identity for m in bundle.members + bundle.companions}) >= 2


def test_pieces_of_a_long_document_have_one_identity_and_get_companions(corpus):
    path = corpus("\n".join(["first"] * 9) + "\n\nshort\n\n" + "\n".join(["last"] * 30))
    options = ReadOptions(piece_chars=20)
    members = list(read_members([Source(path, 0)], options, Findings()))
    assert len({m.identity for m in members}) == 3
    assert [m.continues for m in members[:4]] == [False, True, True, False]
    bundles, _ = cut(members, size=20)
    assert any(bundle.companions for bundle in bundles)
    for bundle in bundles:
        assert len({m.identity for m in bundle.members + bundle.companions}) >= 2


def test_companions_of_a_long_document_are_others():
    long = [member("long", continues=n > 0, identity=1) for n in range(9)]
    bundles, _ = cut([member("first"), member("second"), *long, member("last")])
    alone = [bundle for bundle in bundles if {m.identity for m in bundle.members} == {1}]
    assert len(alone) > 1
    for bundle in alone:
        assert [m.text for m in bundle.companions] == [b"first", b"second"]


@pytest.mark.parametrize("nothing", ["\u200b", "\u200b\u200d", "\u0301"])
def test_a_document_without_tokens_is_none_to_draw_from(nothing):
    members = [member("first"), member("second"), member(nothing), member("a real document")]
    bundles, _ = cut(members)
    (last,) = [b for b in bundles if b"a real document" in {m.text for m in b.members}]
    assert {m.text for m in last.companions} == {b"first", b"second"}
    bundles, findings = cut([member(nothing), member("a real document")])
    assert not bundles
    assert list(findings.counts) == ["document alone in its split (train; left out)"]


@given(text=st.text())
def test_what_counts_as_a_document_to_draw_from_has_tokens(text, tokenizer):
    if has_tokens(text.encode("utf-8", "replace")):
        assert len(tokenizer.encode(text.encode("utf-8", "replace").decode())) > 0


def test_companions_are_short(monkeypatch):
    monkeypatch.setattr(bundles_module, "COMPANION_BYTES", 5)
    bundles, _ = cut([member("ab한글 more"), member("x" * 20), member("x" * 20), member("y")])
    assert all(len(m.text) <= 5 for bundle in bundles for m in bundle.companions)
    assert any(bundle.companions for bundle in bundles)


def test_a_first_document_without_end_is_refused():
    endless = (member("x" * 10, continues=True, identity=1) for _ in range(10**6))
    with pytest.raises(DataError, match="blank line"):
        cut(endless)


def test_one_document_alone_in_its_split_is_counted():
    bundles, findings = cut([member("only"), member("only")])
    assert not bundles
    assert list(findings.counts) == ["document alone in its split (train; left out)"]


def test_the_split_is_by_text_so_copies_never_straddle_it():
    texts = [f"document {i}" for i in range(2000)]
    bundles, _ = cut([member(text) for text in texts * 2], eval_share=0.3)
    identities = {"train": set(), "eval": set()}
    for bundle in bundles:
        identities[bundle.split] |= {m.identity for m in bundle.members}
    assert not identities["train"] & identities["eval"]
    assert len(identities["train"] | identities["eval"]) == 2000


def test_files_without_text_are_counted(corpus):
    paths = [corpus(b"", "empty.txt"), corpus(b" \n\r\n\n", "blank.txt")]
    findings = Findings()
    assert not list(read_members([Source(p, 0) for p in paths], ReadOptions(), findings))
    assert findings.counts == {"file without text": 2}
