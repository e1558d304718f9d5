"""Opening of runs: new, resumed and refused ones."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import LoopConfig, MayDiffer
from bert_jax.errors import ConfigError
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import open_run, report_preemption
from bert_jax.training.step import make_state_init


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of a two-parameter model's run."""

    rate: float = 1.0
    where: MayDiffer[str] = "here"
    tensorboard: MayDiffer[bool] = False
    allow_unverified: MayDiffer[bool] = False


@pytest.fixture(params=["shard_map", "pmap"])
def parallel(request):
    return DataParallel(request.param, 2)


@pytest.fixture
def opened(tmp_path, parallel):
    make = make_state_init(
        lambda key: {"w": jax.random.normal(key, (2,))}, optax.adam(1.0), parallel.replicated
    )

    def open_it(config=None, hashes=None, new_state=None):
        return open_run(
            tmp_path / "run", config or Config(), LoopConfig(10, keep_last=1),
            new_state or (lambda: make(jax.random.key(1), jax.random.key(2))),
            parallel=parallel, hashes={"data": "a"} if hashes is None else hashes,
        )  # fmt: skip

    return open_it


def save(run, step, **extra):
    state = run.parallel.get_state(run.state)
    moved = state._replace(params=jax.tree.map(lambda w: w + 1, state.params))
    run.checkpoints.save(step, moved, {"metric": None, **extra}, block=True)
    return np.asarray(moved.params["w"])


def weights(run):
    return np.asarray(run.parallel.get_state(run.state).params["w"])


def test_a_new_run_starts_from_the_new_state_and_writes_itself_down(opened, tmp_path):
    with opened() as run:
        assert (run.start_step, run.carry, run.folder) == (0, {}, tmp_path / "run")
        np.testing.assert_array_equal(weights(run), jax.random.normal(jax.random.key(1), (2,)))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["rate"] == 1.0
    assert "2 parameters on 2 device(s), from step 0" in (tmp_path / "run/train.log").read_text()


def test_a_run_is_resumed_with_state_step_and_carry(opened):
    with opened() as run:
        saved = save(run, 4, carry={"scores": [0.5]})

    calls = []

    def new_state():
        calls.append(isinstance(jnp.zeros(()), jax.core.Tracer))
        return make_state_init(
            lambda key: {"w": jnp.zeros(2)}, optax.adam(1.0), DataParallel().replicated
        )(jax.random.key(1), jax.random.key(2))

    with opened(new_state=new_state) as run:
        assert (run.start_step, run.carry) == (4, {"scores": [0.5]})
        np.testing.assert_array_equal(weights(run), saved)
    assert calls == [True]  # traced for its shapes, never computed


def test_what_may_differ_may_and_nothing_else(opened):
    with opened() as run:
        save(run, 4)
    with opened(Config(where="there")) as run:
        assert run.start_step == 4
    with pytest.raises(ConfigError, match=r"rate \(saved 1\.0, given 2\.0\)"), opened(Config(2.0)):
        pass
    with (
        pytest.raises(ConfigError, match=r"data \(saved a, given b\)"),
        opened(hashes={"data": "b"}),
    ):
        pass


def test_a_checkpoint_from_before_a_field_was_free_is_resumed(opened):
    with opened(hashes={"data": "a", "where": "here"}) as run:  # as if it had been an identity
        save(run, 4)
    with opened(Config(where="there")) as run:
        assert run.start_step == 4


def test_the_user_is_told_how_to_resume(capsys):
    assert report_preemption(1234) == 75
    assert capsys.readouterr().out == "saved step 1,234; re-run the same command to resume\n"
