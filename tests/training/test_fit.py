"""Logging, evaluation, checkpoints and stops of the training loop, on a one-parameter model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.errors import DivergedError
from bert_jax.training import fit as fit_module
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.checkpoint_hashes import read_manifest
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import Run
from bert_jax.training.signals import StopSignal
from bert_jax.training.step import Objective, init_state, make_train_step


class Records:
    """A log that keeps its records."""

    def __init__(self):
        self.trained, self.evaluated, self.messages = [], [], []

    def train(self, step, values):
        self.trained.append((step, values))

    def eval(self, step, values):
        self.evaluated.append(step)

    def info(self, text):
        self.messages.append(text)


def mean_objective():
    def loss(params, batch, counts, key):
        return (params["w"] * batch["x"]).sum() / counts["n"], {
            "x": (batch["x"].sum(), jnp.float32(batch["x"].size))
        }

    return Objective(lambda b: b, lambda b: {"n": jnp.float32(b["x"].size)}, loss)


@pytest.fixture
def parts(tmp_path):
    parallel = DataParallel("shard_map", 2)
    optimizer, _ = make_optimizer(OptimizerConfig(warmup_steps=0), 100)
    step = parallel.shard(make_train_step(mean_objective(), optimizer))
    checkpoints = Checkpoints(tmp_path / "checkpoints", {}, 10, log=lambda text: None)
    log = Records()

    def run(batches, loop, start=0, sums=None):
        state = parallel.put_state(init_state({"w": jnp.float32(1)}, optimizer, jax.random.key(0)))
        opened = Run(
            tmp_path, loop, state, start, log, checkpoints, parallel, {}, sums or {}, {"devices": 2}
        )  # fmt: skip
        return fit(
            opened, step, iter(batches), schedule=lambda count: 0.5,
            evaluate=lambda params, step: Evaluation(
                {"loss": -step}, -step, carry={"evaluations": step}
            ),
        )  # fmt: skip

    return run, log, checkpoints


def batches(num, bad=()):
    return [{"x": np.full(4, np.nan if i in bad else i, np.float32)} for i in range(num)]


def test_everything_happens_at_its_steps_and_at_the_last(parts):
    run, log, checkpoints = parts
    outcome = run(batches(10), LoopConfig(10, log_every=4, eval_every=3, checkpoint_every=5))
    assert (outcome.step, outcome.interrupted) == (10, False)
    assert [step for step, _ in log.trained] == [4, 8, 10]
    assert log.evaluated == [3, 6, 9, 10]
    assert sorted(p.name for p in checkpoints.folder.glob("*.json")) == [
        "10.manifest.json", "5.manifest.json",
    ]  # fmt: skip


def test_what_an_evaluation_carries_is_in_every_later_checkpoint(parts):
    run, _, checkpoints = parts
    run(batches(10), LoopConfig(10, eval_every=3, checkpoint_every=5))
    carried = {n: read_manifest(checkpoints.folder, n)["extra"]["carry"] for n in (5, 10)}
    assert carried == {5: {"evaluations": 3}, 10: {"evaluations": 10}}


def test_a_record_is_the_mean_since_the_one_before(parts):
    run, log, _ = parts
    run(batches(8), LoopConfig(8, log_every=4))
    assert [values["x"] for _, values in log.trained] == [1.5, 5.5]
    assert all(values["steps_per_second"] > 0 for _, values in log.trained)


def test_a_record_after_a_resume_is_the_mean_since_the_one_before_it_too(parts):
    run, log, checkpoints = parts
    run(batches(6), LoopConfig(6, log_every=4, checkpoint_every=3))
    extra = read_manifest(checkpoints.folder, 3)["extra"]
    assert extra["shares"] == {"devices": 2}
    assert extra["sums"]["x"] == [12.0, 12.0]  # 0, 1 and 2, four rows each
    assert read_manifest(checkpoints.folder, 6)["extra"]["sums"] == {}  # just recorded
    whole = log.trained[0]
    log.trained.clear()
    run(batches(6)[3:], LoopConfig(6, log_every=4), start=3, sums=extra["sums"])
    step, values = log.trained[0]
    assert (step, values["x"]) == (4, whole[1]["x"])


def test_bad_steps_are_logged_and_left_out_of_the_mean(parts):
    run, log, _ = parts
    run(batches(4, bad={1, 2}), LoopConfig(4, log_every=4, max_bad_steps=3))
    assert log.trained[0][1]["x"] == 1.5
    assert sum("skipped" in text for text in log.messages) == 2


def test_too_many_bad_steps_in_a_row_end_the_run_before_another_save(parts):
    run, _, checkpoints = parts
    loop = LoopConfig(20, max_bad_steps=3, checkpoint_every=2)
    with pytest.raises(DivergedError, match="3 steps in a row up to step 5"):
        run(batches(20, bad=range(2, 20)), loop)
    checkpoints.close()
    assert {int(p.name.split(".")[0]) for p in checkpoints.folder.glob("*.json")} <= {2, 4}


def test_a_signal_saves_the_step_and_stops(parts, monkeypatch):
    run, _, checkpoints = parts
    monkeypatch.setattr(StopSignal, "requested", lambda self, step: step == 7)
    outcome = run(batches(20), LoopConfig(20))
    assert (outcome.step, outcome.interrupted) == (7, True)
    assert (checkpoints.folder / "7.manifest.json").exists()


def test_metrics_come_to_the_host_once_per_record(parts, monkeypatch):
    run, log, _ = parts
    reads = []
    get = DataParallel.get
    monkeypatch.setattr(
        DataParallel, "get", lambda self, values: reads.append(len(values)) or get(self, values)
    )
    run(batches(50), LoopConfig(50, log_every=10, eval_every=100, checkpoint_every=100))
    assert len(log.trained) == 5
    assert [size for size in reads if size] == [
        1,
        9,
        10,
        10,
        10,
        10,
    ]  # the first step, which compiles


def test_rare_records_do_not_hide_nan(parts):
    run, _, _ = parts
    taken = []

    def counted():
        for number, batch in enumerate(batches(200, bad=range(20, 200))):
            taken.append(number)
            yield batch

    with pytest.raises(DivergedError, match="3 steps in a row up to step 23"):
        run(counted(), LoopConfig(200, log_every=200, max_bad_steps=3))
    assert len(taken) <= 23 + fit_module.MAX_UNREAD + 5


def test_the_last_steps_are_trained_on_before_a_batch_that_fails_ends_the_run(parts):
    run, _, checkpoints = parts

    def failing():
        yield from batches(6)
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        run(failing(), LoopConfig(10, checkpoint_every=6))
    checkpoints.close()
    assert (checkpoints.folder / "6.manifest.json").exists()


def test_no_batch_after_the_last_step_is_read(parts):
    run, _, _ = parts
    source = iter(batches(10))
    run(source, LoopConfig(7))
    assert len(list(source)) == 3


def test_at_most_two_steps_are_in_flight(parts, monkeypatch):
    run, _, _ = parts
    meters = []

    class Watched(fit_module.Meter):
        def add(self, step, metrics):
            super().add(step, metrics)
            meters.append(len(self._in_flight))

    monkeypatch.setattr(fit_module, "Meter", Watched)
    run(batches(10), LoopConfig(10))
    assert max(meters) == 2


def test_sum_metrics_adds_sums_and_counts():
    parallel = DataParallel("shard_map", 1)
    result = sum_metrics(
        lambda params, batch: {"a": (batch["x"].sum(), jnp.float32(2))},
        None,
        [{"x": np.ones(2, np.float32)}, {"x": np.ones(2, np.float32) * 3}],
        parallel,
    )
    assert tuple(map(float, result["a"])) == (8.0, 4.0)
