"""The acceptance test of the Neural Turing Machine: verdicts, and runs on a nano model."""

import json
from dataclasses import replace

import pytest

from benchmarks.lineage import ntm
from benchmarks.lineage.verdicts import Verdict, print_verdicts
from tests.test_copytask import make_nano


def report(converged_at, shares, without_shift=0.5):
    sizes = [
        {"size": size, "repeats": 1, "wrong_bits": share * size * 8, "bit_error": share}
        for size, share in shares.items()
    ]
    for row in sizes:
        row["wrong_bits_without_shift"] = without_shift * row["size"] * 8
    return {"converged_at": converged_at, "sizes": sizes}


GOOD = report(3000, {20: 0.0, 40: 0.001, 60: 0.04})
BAD = report(None, {20: 0.0, 40: 0.3, 60: 0.5})


def test_two_of_three_seeds_must_pass():
    checks = [check for check in ntm.CHECKS if check.run == "copy"]
    two = [ntm.judge(check, [GOOD, BAD, GOOD]) for check in checks]
    assert [verdict.passed for verdict in two] == [True] * 5
    one = [ntm.judge(check, [GOOD, BAD, BAD]) for check in checks]
    assert [verdict.passed for verdict in one] == [False, True, False, False, True]
    assert one[0].measured == "3000, inf, inf"
    assert two[2].measured == "0.32, 96, 0.32"


def test_two_of_three_seeds_must_pass_everything():
    late = report(20_000, {20: 0.0, 40: 0.001, 60: 0.04})
    long = report(3000, {20: 0.0, 40: 0.001, 60: 0.5})
    without_effect = report(3000, {20: 0.0, 40: 0.001, 60: 0.04}, without_shift=0.1)
    wrong = report(3000, {20: 0.1, 40: 0.001, 60: 0.04})

    each = [ntm.judge(c, [late, long, wrong]) for c in ntm.CHECKS if c.run == "copy"]
    assert all(verdict.passed for verdict in each)  # each check fails with another seed
    verdict = ntm.judge_seeds("copy", [late, long, wrong])
    assert (verdict.passed, verdict.measured) == (False, "none")
    verdict = ntm.judge_seeds("copy", [GOOD, long, GOOD])
    assert (verdict.passed, verdict.measured) == (True, "0, 2")
    verdict = ntm.judge_seeds("copy", [GOOD, without_effect, long])
    assert (verdict.passed, verdict.measured) == (False, "0")


def test_rivals_must_fail_at_copying():
    at_20 = next(check for check in ntm.CHECKS if check.run == "copy_lstm")
    at_40 = next(check for check in ntm.CHECKS if check.run == "copy_content_only")
    assert not ntm.judge(at_20, [GOOD] * 3).passed
    assert ntm.judge(at_20, [report(None, {20: 0.25})] * 3).passed
    assert ntm.judge(at_40, [BAD] * 3).passed
    assert not ntm.judge(at_40, [GOOD] * 3).passed


@pytest.mark.parametrize("passed", [True, False])
def test_the_exit_code_is_that_of_the_worst(capsys, passed):
    verdicts = [Verdict("a", "1", "2", True), Verdict("long name", "≤ 3", "4, 5", passed)]
    assert print_verdicts("title", verdicts) == int(not passed)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "title", "check      expected  measured",
        "a          1         2         PASS",
        f"long name  ≤ 3       4, 5      {'PASS' if passed else 'FAIL'}",
    ]  # fmt: skip


def test_it_trains_what_is_missing_and_reports_all_sizes(tmp_path, monkeypatch, capsys):
    nano = make_nano(tmp_path)
    nano = replace(nano, loop=replace(nano.loop, steps=2), eval_sizes=(20, 40, 60))
    monkeypatch.setattr(ntm, "RUNS", {"copy": lambda: nano})
    monkeypatch.setattr(ntm.jax.config, "update", lambda name, value: None)
    runs = str(tmp_path / "lineage")
    assert ntm.main(ntm.Options(only=("copy",), seeds=2, runs_dir=runs)) == 1
    printed = capsys.readouterr().out
    assert "copy: share wrong at 60 ≤ 0.05" in " ".join(printed.split())
    assert printed.count("FAIL") == 6
    assert (tmp_path / "lineage" / "ntm-copy.svg").is_file()
    reports = list((tmp_path / "lineage" / "ntm-copy-1").glob("evaluation/*/report.json"))
    assert len(json.loads(reports[0].read_text())["sizes"]) == 3


def test_without_shift_the_trained_weights_are_used(tmp_path, monkeypatch):
    nano = make_nano(tmp_path)
    nano = replace(nano, name="ntm-copy-0", loop=replace(nano.loop, steps=2))
    monkeypatch.setattr(ntm, "RUNS", {"copy": lambda: nano})
    report = ntm.train("copy", 0, nano.runs_dir)
    monkeypatch.setattr("bert_jax.lineage.ntm_addressing.shift", lambda w, s: w)
    without_shift = ntm.train("copy", 0, nano.runs_dir)
    for whole, row in zip(report["sizes"], without_shift["sizes"], strict=True):
        assert whole["wrong_bits_without_shift"] == row["wrong_bits"]
