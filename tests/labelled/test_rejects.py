import json

from bert_jax.labelled.rejects import BLANK_ROW, Rejects


def test_rows_are_counted_by_reason_and_kept_with_their_places(tmp_path):
    rejects = Rejects()
    for number in range(4):
        rejects.add(f"a.tsv:{number}", "text empty", {"label": number})
    rejects.add("b.json:1", "no answer", "x" * 2000 + "\ud800")
    rejects.add("b.json:2", "half a character", "\ud800")
    assert rejects.summary() == [
        "4 rejected: text empty (a.tsv:0, a.tsv:1, a.tsv:2, …)",
        "1 rejected: no answer (b.json:1)",
        "1 rejected: half a character (b.json:2)",
    ]
    rejects.write(tmp_path / "rejects.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert rows[0] == {"place": "a.tsv:0", "reason": "text empty", "row": '{"label": 0}'}
    assert len(rows[4]["row"]) == 1000
    assert rows[5]["row"] == "?"


def test_blank_rows_do_not_count():
    rejects = Rejects()
    for place, reason in (("a:1", "text empty"), ("b:1", BLANK_ROW), ("b:2", "text empty")):
        rejects.add(place, reason, "")
    assert [rejects.count(), rejects.count(1), rejects.count(3)] == [2, 1, 0]
    assert rejects.summary(2) == ["1 rejected: text empty (b:2)"]
