"""Traces of a run's steps: written, annotated, and refused where the run has no such steps."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from bert_jax.config import LoopConfig, fields_that_may_differ
from bert_jax.errors import ConfigError
from bert_jax.training.profiling import Profiler


@pytest.fixture
def run(tmp_path):
    lines: list[str] = []
    return SimpleNamespace(
        folder=tmp_path, start_step=0, loop=LoopConfig(9, profile_steps="3:4"), lines=lines,
        log=SimpleNamespace(info=lines.append), parallel=SimpleNamespace(is_first_process=True),
    )  # fmt: skip


def train(run, stop=9):
    double, waits = jax.jit(lambda x: 2 * x), []
    with Profiler(run, lambda: waits.append(None)) as profiler:
        for step in range(run.start_step, stop):
            with profiler.step(step + 1):
                double(jnp.ones(4))
    return len(waits)


def traced_steps(folder):
    """Return the step numbers of the annotations in the only trace of a folder."""
    (path,) = folder.glob("profile/plugins/profile/*/*.xplane.pb")
    events = [
        event
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes
        for line in plane.lines
        for event in line.events
        if event.name == "train"
    ]
    return sorted(dict(event.stats)["step_num"] for event in events)


def test_the_steps_asked_for_are_in_a_trace_that_tensorboard_opens(run):
    assert train(run) == 2  # before the first and after the last
    assert traced_steps(run.folder) == [3, 4]
    assert run.lines == [
        f"trace in {run.folder}/profile: tensorboard --logdir {run.folder}/profile"
    ]


def test_a_run_that_ends_within_the_steps_keeps_what_it_has(run):
    train(run, stop=3)
    assert traced_steps(run.folder) == [3]


def test_only_the_first_process_writes(run):
    run.parallel.is_first_process = False
    assert train(run) == 2
    assert not list(run.folder.iterdir())


def test_a_run_that_is_past_the_steps_says_so(run):
    run.start_step = 5
    assert train(run) == 0
    assert not list(run.folder.iterdir())
    assert "the run is at step 5 already, nothing is traced" in run.lines[0]


def test_steps_past_the_end_are_refused(run):
    run.loop = replace(run.loop, profile_steps="8:10")
    with pytest.raises(ConfigError, match=r"8:10, but the run has 9 steps") as caught:
        train(run)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("steps", ["4:3", "0:2", "5", "a:b", "1:2:3", "-1:3", ""])
def test_what_is_no_range_of_steps_is_refused(steps):
    with pytest.raises(ConfigError, match=r"profile_steps = .*\n.*such as 10:15"):
        LoopConfig(9, profile_steps=steps)
    assert "profile_steps" in fields_that_may_differ(LoopConfig(9))
