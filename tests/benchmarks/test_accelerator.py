"""The benchmark of an accelerator, at toy size on the CPU."""

import dataclasses
import itertools
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.accelerator import __main__ as command
from benchmarks.accelerator import attention, duel, same_bits, table, task_rates
from benchmarks.accelerator.ours import make_ours
from benchmarks.accelerator.sizes import TOY, adamw_run, prepare_rows, preset_run
from benchmarks.accelerator.stages import STAGES, Stage
from benchmarks.accelerator.table import Row
from bert_jax.config import BertConfig, PretrainConfig, read_json
from bert_jax.nn.layout import block_diagonal_mask, row_layout
from bert_jax.training.flops import flops_per_token
from tests.extras import need


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_rows(tmp_path_factory.mktemp("accelerator"), TOY)


class LocalSide:
    """The work of `race.Side`, in this process."""

    def __init__(self, command):
        module, file = command[-2].rpartition(".")[2], command[-1]
        npz = file.replace(".json", ".npz")
        if module == "ours":
            self.about, self.run = make_ours(read_json(PretrainConfig, file), npz)
        else:
            from benchmarks.accelerator.theirs import make_theirs

            with open(file) as config:
                self.about, self.run = make_theirs(json.load(config), npz)
        self.seconds, self.disturbed = [], ""

    def receive(self):
        self.run(1)
        return self.about

    def run_quietly(self, num_steps):
        self.run(num_steps)
        self.seconds.append(0.5)

    def close(self):
        pass


def exact(config):
    """Return a run without dropout, in float32, in which every part of a step weighs much."""
    model = dataclasses.replace(config.model, hidden_dropout_prob=0.0, initializer_range=0.3)
    optimizer = dataclasses.replace(
        config.optimizer, warmup_steps=2, learning_rate=1e-2, weight_decay=1.0
    )
    return dataclasses.replace(config, model=model, optimizer=optimizer, dtype="float32")


def test_both_sides_train_the_same(tmp_path, data):
    need("torch")
    from benchmarks.accelerator.theirs import make_theirs

    config = exact(adamw_run(TOY, TOY.phases[0], data))
    about, ours = make_ours(config, tmp_path / "rows.npz")
    _, theirs = make_theirs(dataclasses.asdict(config), tmp_path / "rows.npz")
    losses = [(ours(1), theirs(1)) for _ in range(6)]
    for our_loss, their_loss in losses:
        assert our_loss == pytest.approx(their_loss, abs=1e-4)
    assert len({round(loss, 4) for loss, _ in losses}) == 6
    assert about["bytes_said"] > 0


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_the_kernels_of_torch_attend_within_sequences():
    torch = need("torch")
    from benchmarks.accelerator import theirs, torch_model

    lengths = np.array([[[5, 0], [3, 0]], [[16, 0], [0, 0]]], np.int32)
    layout = row_layout(jnp.asarray(lengths), 16)
    tokens, empty = np.zeros((2, 16), np.int32), np.zeros((2, 1), np.int32)
    batch = theirs.put_batch(
        {"tokens": tokens, "lengths": lengths, "positions": np.array([[2], [3]]),
         "labels": empty, "weights": empty}, "cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(batch["places"].reshape(2, 16), layout.positions)
    np.testing.assert_array_equal(batch["mask"], block_diagonal_mask(layout.sequence_ids))
    assert batch["ends"].tolist() == [0, 5, 8, 16, 32, 32, 32]
    assert batch["positions"].tolist() == [2, 19]

    batch["blocks"] = theirs.block_mask(torch.from_numpy(np.array(layout.sequence_ids)))
    q, k, v = (torch.randn(32, 2, 16) for _ in range(3))
    by_mask = torch_model.attend_sdpa(q, k, v, batch)
    torch.testing.assert_close(torch_model.attend_flex(q, k, v, batch), by_mask)
    alone = [x[5:8].transpose(0, 1) for x in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*alone).transpose(0, 1)
    torch.testing.assert_close(by_mask[5:8], expected)


def test_a_race_measures_both_sides(tmp_path, data, monkeypatch):
    need("torch")
    monkeypatch.setattr(duel, "Side", LocalSide)
    monkeypatch.setattr(duel, "peak_flops", lambda kind: 1e12)
    config = adamw_run(TOY, TOY.phases[0], data)
    rows = {r.name: r for r in duel.race("race", config, TOY, tmp_path, sys.executable)}
    assert not table.has_failed(rows.values())
    tokens = rows["tokens in a step"].value
    assert 0.5 * 8 * 32 < tokens <= 8 * 32
    for side in ("bert_jax", "PyTorch"):
        rate, speed, mfu = (
            rows[f"{side}: {name}"].value for name in ("tokens", "model FLOPs", "MFU")
        )
        assert rate == pytest.approx(tokens / 0.5)  # blocks of half a second
        flops = float(rows[f"{side}: model FLOPs"].note.split()[0]) * 1e6
        assert speed == pytest.approx(rate * flops / 1e12, rel=1e-4)
        assert mfu == pytest.approx(speed)  # of 1 TFLOP/s
    assert rows["bert_jax, PyTorch = 1"].value == 1
    assert 0 < rows["first loss, difference"].value < duel.LOSS_TOLERANCE


def test_the_preset_is_built_as_it_stands(data):
    about, steps = make_ours(preset_run(TOY, TOY.phases[1], data), None)
    assert steps(1) > 0
    assert about["about"].endswith("xla attention, 1 accumulation steps")
    assert 0.25 < about["work"]["predicted"] < 0.35  # 30 % at the first step


def test_flops_by_the_usual_formula():
    config = BertConfig(vocab_size=30_522)
    # 2 · 12 · (4 · 768² + 2 · 768 · 3072) = 169.9 M, and 4 · 12 · 768 · 128 = 4.7 M forward
    assert duel.usual_flops_per_token(config, 128, 0.0) == 3 * (169_869_312 + 4_718_592)
    # where every token is predicted, no output of the last layer is unused
    both = duel.usual_flops_per_token(config, 300, 1.0), flops_per_token(config, 300, 1.0)
    assert both[0] == pytest.approx(both[1])
    assert duel.usual_flops_per_token(config, 300, 0.15) > 1.03 * flops_per_token(config, 300, 0.15)


def test_memory_beyond_the_tolerance_fails():
    work = duel.StepWork(100.0, 0.9, 50.0, 0.15)
    about = {"compile_seconds": 1.0, "about": "", "bytes_said": 100}
    for peak, passed in ((104, True), (96, True), (106, False), (94, False), (None, None)):
        *_, row = duel.describe_ours("race", TOY.phases[0], work, about | {"peak_bytes": peak})
        assert row.passed is passed


def test_why_torch_cannot_take_part(monkeypatch):
    assert duel.torch_obstacle("false", "cpu") == "torch is not installed for false"
    monkeypatch.setattr(duel.importlib.util, "find_spec", lambda name: None)
    assert duel.torch_obstacle(sys.executable, "cuda") == "torch is not installed"
    for code, platform, expected in (
        (7, "cuda", "no CUDA in torch"), (0, "cuda", None), (7, "cpu", None),
        (0, "tpu", "not measured on tpu"),
    ):  # fmt: skip
        done = subprocess.CompletedProcess([], code)
        monkeypatch.setattr(duel.subprocess, "run", lambda *args, done=done, **kwargs: done)
        assert duel.torch_obstacle("python", platform) == expected


def test_sensors_are_read_where_they_are(monkeypatch):
    monkeypatch.setattr(
        duel.subprocess, "run",
        lambda *args, **kwargs: subprocess.CompletedProcess([], 0, "1980 MHz, 1980 MHz, 650 W\n"),
    )  # fmt: skip
    assert duel.read_sensors() == "clock 1980 MHz, of at most 1980 MHz, power 650 W"
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert duel.read_sensors() is None


def test_kernels_are_compared_with_float32(data, monkeypatch):
    rows = list(attention.compare_kernels("attention", TOY, data))
    assert not table.has_failed(rows)
    errors = [row for row in rows if row.name.endswith("error")]
    assert [row.name for row in errors] == ["T=32, xla: error", "T=64, xla: error"]
    assert all(1e-4 < row.value < attention.TOLERANCE for row in errors)
    assert any("cannot run with platform 'cpu'" in row.note for row in rows)

    def unmasked(q, k, v, mask, **kwargs):
        del mask, kwargs
        return jax.nn.dot_product_attention(q, k, v)

    right = attention.run_kernel

    def wrong(kernel, inputs, mask):
        with monkeypatch.context() as patch:
            if inputs[0].dtype == jnp.bfloat16:
                patch.setattr(attention, "dot_product_attention", unmasked)
            return right(kernel, inputs, mask)

    monkeypatch.setattr(attention, "run_kernel", wrong)
    assert next(attention.compare_kernels("attention", TOY, data)).passed is False


def test_relative_error_by_hand():
    x = jnp.array([3.0, 4.0])
    assert attention.relative_error(x, x) == 0
    assert attention.relative_error(x + jnp.array([0.3, 0.4]), x) == pytest.approx(0.1)
    assert attention.relative_error(x * np.nan, x) == float("inf")


def test_two_runs_end_in_the_same_bits(tmp_path, data, monkeypatch):
    config = adamw_run(TOY, TOY.phases[0], data)
    first, second = (same_bits.run_once(config, 3) for _ in range(2))
    assert first["hash"] == second["hash"]
    assert first["tokens_per_second"] > 0

    def runs(*found):
        endless = itertools.cycle(found)
        monkeypatch.setattr(
            same_bits.subprocess, "run",
            lambda *args, **kwargs: subprocess.CompletedProcess([], 0, json.dumps(next(endless))),
        )  # fmt: skip
        return list(same_bits.compare_runs("same bits", config, 3, tmp_path))[-1]

    assert runs(first, second).passed is True
    assert json.loads((tmp_path / "same-bits.json").read_text())["deterministic"] is True
    assert runs(first, first | {"hash": "0" * 64}).passed is False


@pytest.mark.parametrize("rate", [task_rates.finetune_rate, task_rates.predict_rate])
def test_rates_of_tasks(tmp_path, rate):
    rows = {row.name: row for row in rate("task", TOY, tmp_path)}
    assert rows["sentences"].value > 0
    words = [len(line.split()) for line in (tmp_path / "sentences.txt").read_text().splitlines()]
    assert len(words) == TOY.texts
    assert max(words) <= 52
    assert 7 < np.mean(words) < 12
    if rate is task_rates.finetune_rate:
        assert rows["three epochs of SST-2"].value == pytest.approx(
            3 * 67_349 / rows["sentences"].value
        )


def test_a_table_keeps_the_last_line_of_a_name(tmp_path):
    path = tmp_path / "results.jsonl"
    assert table.read_rows(path) == []
    for row in (Row("a", "x", 1.0), Row("a", "y", None, note="p|q"), Row("a", "x", 2.0, "s")):
        table.append_row(path, row)
    with path.open("a") as file:
        file.write('{"stage": "a", "na')  # of a stage that was killed
    assert [row.name for row in table.read_rows(path)] == ["x", "y"]
    path.write_text(path.read_text().rpartition("\n")[0] + "\n")
    table.append_row(path, Row("a", "x", 2.0, "s", samples=(1.0, 2.0, 3.0)))
    rows = table.read_rows(path)
    assert rows[0].samples == (1.0, 2.0, 3.0)
    assert [(row.name, row.value) for row in rows] == [("x", 2.0), ("y", None)]
    assert not table.has_failed(rows)
    assert table.has_failed([*rows, Row("a", "z", passed=False)])
    table.write_table(tmp_path, rows)
    written = json.loads((tmp_path / "table.json").read_text())
    assert written == json.loads(json.dumps([dataclasses.asdict(row) for row in rows]))
    assert (tmp_path / "table.md").read_text().splitlines()[2:] == [
        "| a | x | 2.00 s |  |  |", "| a | y | - |  | p\\|q |",
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "unit", "expected"), [
    (0.3812, "share", "38.1%"), (1234567.8, "/s", "1,234,568 /s"), (0.0, "", "0"),
    (12.345, "ms", "12.3 ms"), (0.01234, "", "0.0123"), (0.00002, "", "2.0e-05"),
    (float("inf"), "", "inf"), ("cuda", "", "cuda"), (None, "s", "-"),
])  # fmt: skip
def test_values_have_three_digits(value, unit, expected):
    assert table.format_value(value, unit) == expected


def test_a_stage_is_stopped_after_its_time_and_its_error_is_shown(tmp_path):
    options = command.Options(output=str(tmp_path))
    assert "stopped after 0 s" in command.run_stage(options, STAGES[0], 0.01)
    unknown = Stage("unknown", 1, lambda stage, context: iter(()))
    assert "exit code 1: ValueError: not enough values" in command.run_stage(options, unknown, 60)


def test_without_time_no_stage_runs_and_finished_lines_are_written(tmp_path, monkeypatch, capsys):
    def run_stage(options, stage, limit):
        assert limit <= 60 * options.minutes
        results = tmp_path / "results.jsonl"
        table.append_row(results, Row(stage.name, "line", 1.0))
        if stage.name == "rows":
            clock[0] += 575
        return None

    clock = [0.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(command, "run_stage", run_stage)
    options = command.Options(output=str(tmp_path), only=("attention", "preset"))
    assert command.main(options) == 0
    clock[0] = 0
    monkeypatch.setattr(command, "run_stage", lambda *args: run_stage(*args) or "exit code 1: no")
    assert command.main(options) == 1
    written = (tmp_path / "table.md").read_text()
    assert "| device | line | 1.00 |" in written
    assert "| device | stage | - | FAILED | exit code 1: no |" in written
    assert "attention" not in written  # the first stage failed, and others need it


def test_no_such_stage():
    with pytest.raises(command.ConfigError, match="no stage is named 'nosuch'"):
        command.Options(only=("nosuch",))


@pytest.mark.heavy
def test_the_command(tmp_path):
    code = command.main(command.Options(output=str(tmp_path), size="toy"))
    rows = table.read_rows(tmp_path / "results.jsonl")
    assert [row for row in rows if row.passed is False] == []
    assert code == 0
    assert {row.stage for row in rows} == {stage.name for stage in STAGES}
