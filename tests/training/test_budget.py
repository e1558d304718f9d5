"""Plan of a run with a time budget, from costs that are given; and how steps are timed."""

import json
from dataclasses import replace

import pytest

from bert_jax.config import (
    BertConfig,
    LoopConfig,
    OptimizerConfig,
    Phase,
    PretrainConfig,
    phase_spans,
    to_json,
)
from bert_jax.errors import ConfigError
from bert_jax.training import budget
from bert_jax.training.budget import Costs, Plan, kept_plan, plan_steps, predict_seconds
from bert_jax.training.parallel import DataParallel
from tests.training import children

CONFIG = PretrainConfig(
    data="x",
    model=BertConfig(),
    optimizer=OptimizerConfig(warmup_steps=300),
    phases=(Phase(32, 64, share=0.4), Phase(128, 32, share=0.6)),
    loop=LoopConfig(steps=8000, log_every=50, eval_every=400, checkpoint_every=400),
    budget="3h",
)
COSTS = Costs(start=60.0, steps=(0.05, 0.1), evaluations=(1.0, 3.0), checkpoint=0.3)


def planned(config=CONFIG, costs=COSTS):
    return plan_steps(config, costs).apply(config)


def test_the_longest_run_is_planned_whose_predicted_time_fits():
    config = planned()
    longer = replace(config, loop=replace(config.loop, steps=config.loop.steps + 1))
    limit = 3 * 3600 * 0.97
    assert predict_seconds(config, COSTS) <= limit < predict_seconds(longer, COSTS) + 3.3
    spans = phase_spans(config)
    steps = [span.stop - span.start for span in spans]
    assert steps[0] / sum(steps) == pytest.approx(0.4, abs=1e-4)
    # (10,476 - 60) s at 0.08 s a step, less what evaluations and checkpoints take
    assert 0.93 * 130_200 < sum(steps) < 130_200


def test_the_prediction_adds_up_by_hand():
    """Four evaluations, at 30 and 60 in the first phase and 90 and 100 in the second."""
    config = replace(CONFIG, phases=(Phase(32, 64, share=0.6), Phase(128, 32, share=0.4)))
    config = replace(config, loop=LoopConfig(100, eval_every=30, checkpoint_every=40))
    costs = Costs(start=5.0, steps=(0.5, 2.0), evaluations=(7.0, 11.0), checkpoint=1.0)
    wanted = 5 + 60 * 0.5 + 40 * 2 + 2 * 7 + 2 * 11 + 3 * 1
    assert predict_seconds(config, costs) == pytest.approx(wanted)


def test_warm_up_and_intervals_stay_where_they_fit_a_long_run():
    config = planned()
    loop = config.loop
    assert config.optimizer.warmup_steps == 300
    assert (loop.log_every, loop.checkpoint_every) == (50, 400)
    # 3 s every 400 of 126,000 steps are 945 s, more than 5 % of three hours, 540 s
    assert loop.eval_every == 800


def test_a_short_run_gets_a_shorter_warm_up_and_ten_evaluations_and_checkpoints():
    costs = COSTS._replace(start=5.0, evaluations=(0.001, 0.001), checkpoint=0.001)
    config = planned(replace(CONFIG, budget="90s"), costs)
    steps, loop = config.loop.steps, config.loop
    assert 900 < steps < 1100
    assert config.optimizer.warmup_steps == steps // 10
    assert loop.eval_every == loop.checkpoint_every == steps // 10
    assert loop.log_every == 50


def test_a_checkpoint_that_is_rarer_than_an_evaluation_falls_on_one():
    costs = COSTS._replace(evaluations=(0.01, 0.01), checkpoint=20.0)
    loop = planned(costs=costs).loop
    assert loop.eval_every == 400
    assert loop.checkpoint_every > 400
    assert loop.checkpoint_every % 400 == 0


def test_without_held_out_rows_evaluations_cost_nothing():
    config = planned(costs=COSTS._replace(evaluations=(0.0, 0.0)))
    assert config.loop.eval_every == 400
    assert config.loop.steps > planned().loop.steps


def test_kept_checkpoints_are_among_those_of_the_plan():
    plan = Plan(steps=9000, warmup_steps=300, log_every=50, eval_every=900, checkpoint_every=450)
    config = replace(CONFIG, loop=replace(CONFIG.loop, keep_every=1200))
    assert plan.apply(config).loop.keep_every == 1350
    assert plan.apply(CONFIG).loop.keep_every is None


def test_a_budget_that_start_and_compilation_use_up_is_refused_with_one_that_is_enough():
    short = replace(CONFIG, budget="50s")
    with pytest.raises(ConfigError, match=r"--budget 50s is too short: 0 steps fit") as error:
        plan_steps(short, COSTS)
    enough = str(error.value).split("pass --budget ")[1].split()[0]
    assert plan_steps(replace(CONFIG, budget=enough), COSTS).steps >= budget.MIN_STEPS


def begun(folder, config):
    """Write what a run with a checkpoint has in its directory."""
    (folder / "checkpoints" / "400").mkdir(parents=True)
    (folder / "config.json").write_text(to_json(config))


def test_a_run_with_checkpoints_keeps_its_plan_and_one_without_has_none(tmp_path):
    config = planned()
    tmp_path.joinpath("config.json").write_text(to_json(config))
    assert kept_plan(CONFIG, tmp_path) is None
    begun(tmp_path, config)
    assert kept_plan(CONFIG, tmp_path).apply(CONFIG) == config
    assert kept_plan(replace(CONFIG, budget="180m"), tmp_path) == plan_steps(CONFIG, COSTS)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ("2h", r"--budget 3h, but .* was begun with --budget 2h\n.*\n.*pass --budget 2h, or give"),
        (None, r"--budget 3h, but .* was begun without --budget\n.*\n.*leave out --budget, or"),
    ],
)
def test_another_budget_is_refused(tmp_path, saved, message):
    begun(tmp_path, replace(CONFIG, budget=saved))
    with pytest.raises(ConfigError, match=message):
        kept_plan(CONFIG, tmp_path)


def test_a_plan_survives_json():
    plan = plan_steps(CONFIG, COSTS)
    assert Plan(**json.loads(json.dumps(plan._asdict()))) == plan


class Clock:
    """A clock that only moves when a step is waited for."""

    def __init__(self):
        self.now, self.waits = 0.0, [9.0, *[0.5] * 3, *[0.5, 0.5, 40.0, 0.5, 0.5, 0.5, 0.5, 0.5]]

    def perf_counter(self):
        return self.now

    def get(self, metrics):
        self.now += self.waits[metrics]


def test_steps_are_timed_by_their_median_after_the_first_which_compiles(monkeypatch):
    clock, parallel = Clock(), DataParallel("shard_map", 1)
    monkeypatch.setattr(budget.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(parallel, "get", clock.get)
    monkeypatch.setattr(parallel, "put_batch", lambda batch: batch)
    batches = ({"number": number} for number in range(100))
    state, compilation, step = budget.time_steps(
        lambda state, batch: (state + 1, batch["number"]), 0, batches, 4.0, parallel
    )
    assert (state, compilation, step) == (12, 8.5, 0.5)  # 1, then 3, then 4 s / 0.5 s


def test_an_evaluation_is_timed_by_some_of_its_batches(monkeypatch):
    clock, parallel = Clock(), DataParallel("shard_map", 1)
    monkeypatch.setattr(budget.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(parallel, "get", clock.get)
    monkeypatch.setattr(parallel, "put_batch", lambda batch: batch)
    batches = [{"number": 0}, {"number": 1}]
    seconds = budget.time_evaluation(lambda _, batch: batch["number"], None, batches, 10, parallel)
    assert seconds == pytest.approx((9.0 + 0.5) / 2 * 10)


PAIR = """
import time
from bert_jax.training.budget import time_steps
from bert_jax.training.parallel import DataParallel

parallel = DataParallel()
add = parallel.shard(lambda state, batch: (
    state + jax.lax.psum(batch["x"].sum(), "data"), jax.numpy.zeros(())))
state = parallel.put_state(jax.numpy.zeros(()))
batches = iter(lambda: {"x": jax.numpy.ones(2)}, None)
if jax.process_index():  # a process that is slower must not do another number of steps
    steps = batches
    batches = (time.sleep(0.01) or batch for batch in steps)
state, _, step = time_steps(add, state, batches, 0.2, parallel)
print(float(parallel.get(state)), step > 0)
"""


def test_two_processes_time_the_same_number_of_steps():
    results = children.finish_pair(children.start_pair(PAIR))
    for code, _, err in results:
        assert code == 0, err
    first, second = (out.splitlines()[-1] for _, out, _ in results)
    assert first == second
    assert float(first.split()[0]) >= 4 * (1 + 3 + 5)
