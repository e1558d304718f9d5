"""The run that `--decay-from` makes of another one, and what it refuses."""

from dataclasses import replace

import pytest

from bert_jax.config import LoopConfig, MaskingConfig, OptimizerConfig, Phase, decay_run
from bert_jax.errors import ConfigError
from configs.pretrain import RUNS

LONG = replace(
    RUNS["tiny"](),
    name="long",
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=100, schedule="wsd", b2=0.98),
    phases=(Phase(32, 64, share=0.4), Phase(128, 32, share=0.6)),
    loop=LoopConfig(steps=10_000, checkpoint_every=500, keep_every=1000),
)


def test_without_a_step_it_is_the_run_itself():
    assert decay_run(LONG) is LONG


def test_it_extends_the_step_and_decays_linearly_over_the_same_share():
    ended = decay_run(replace(LONG, decay_from=2000, encoder="runs/x", epochs=3.0))
    assert ended == replace(
        LONG,
        name="long-2000+500",  # 500 is a fifth of 2,500
        extend_from="runs/long/checkpoints/2000",
        optimizer=replace(LONG.optimizer, schedule="linear", warmup_steps=0),
        loop=replace(LONG.loop, steps=500),
        phases=(Phase(32, 64),),
        masking=replace(LONG.masking, rate=LONG.masking.at(2000, 10_000).rate),
        encoder=None,
        epochs=None,
    )
    halved = replace(LONG, optimizer=replace(LONG.optimizer, decay_share=0.5))
    assert decay_run(replace(halved, decay_from=2000)).loop.steps == 2000
    given = decay_run(replace(LONG, decay_from=2000, decay_steps=700))
    assert (given.name, given.loop.steps) == ("long-2000+700", 700)


@pytest.mark.parametrize(("step", "length"), [(3999, 32), (4000, 128), (8000, 128)])
def test_its_rows_are_those_that_would_come_next(step, length):
    ended = decay_run(replace(LONG, decay_from=step))
    assert ended.phases == (Phase(length, 64 if length == 32 else 32),)


def test_a_mask_rate_that_falls_goes_on_from_where_it_is():
    """The long run decays in steps 8,000 to 9,999; so does its end, numbered from 0."""
    ended = decay_run(replace(LONG, decay_from=8000))
    assert ended.loop.steps == 2000
    for step in (0, 700, 1999):
        rate = LONG.masking.at(8000 + step, 10_000).rate
        assert ended.masking.at(step, 2000).rate == pytest.approx(rate, abs=1e-12)
    constant = replace(LONG, masking=MaskingConfig(rate=0.2), decay_from=8000)
    assert decay_run(constant).masking == MaskingConfig(rate=0.2)


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        (99, {}, "at its peak from step 100 to 8,000 alone"),
        (8001, {}, "from step 100 to 8,000 alone"),
        (10_001, {"schedule": "constant"}, "from step 100 to 10,000 alone"),
        (2000, {"schedule": "linear"}, "the learning rate of long falls all the time"),
        (2000, {"schedule": "inverse_sqrt"}, "falls all the time"),
        (2000, {"name": "original"}, "falls all the time"),
    ],
)
def test_a_step_at_which_the_rate_is_not_at_its_peak_is_refused(step, change, message):
    run = replace(LONG, decay_from=step, optimizer=replace(LONG.optimizer, **change))
    with pytest.raises(ConfigError, match=message):
        decay_run(run)
    steady = replace(LONG.optimizer, schedule="constant")
    assert decay_run(replace(LONG, optimizer=steady, decay_from=10_000)).loop.steps == 2500
