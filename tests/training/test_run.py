"""Opening of runs: new, resumed and refused ones."""

import dataclasses
import errno
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import LoopConfig, MayDiffer, read_json
from bert_jax.errors import EXIT_WATCHDOG, ConfigError
from bert_jax.training import run as run_module
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import open_run, report_preemption
from bert_jax.training.rundir import require_utf8
from bert_jax.training.step import make_state_init
from tests.training import children


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of a two-parameter model's run."""

    rate: float = 1.0
    where: MayDiffer[str] = "here"
    tensorboard: MayDiffer[bool] = False
    wandb: MayDiffer[str | None] = None
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
    assert read_json(Config, tmp_path / "run" / "config.json") == Config()
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


def test_a_run_that_is_resumed_on_other_devices_says_what_that_changes(tmp_path):
    state = make_state_init(
        lambda key: {"w": jnp.zeros(2)}, optax.adam(1.0), DataParallel(num_devices=1).replicated
    )

    def open_on(num_devices):
        parallel = DataParallel(num_devices=num_devices)
        return open_run(
            tmp_path, Config(), LoopConfig(10), lambda: state(jax.random.key(1), jax.random.key(2)),
            parallel=parallel, hashes={},
        )  # fmt: skip

    for num_devices in 1, 1, 4:
        with open_on(num_devices) as run:
            save(run, run.start_step + 1, shares=run.shares)
    resumed = [line for line in (tmp_path / "train.log").read_text().splitlines() if "drop" in line]
    assert len(resumed) == 1
    assert "resumed with devices = 4 instead of 1" in resumed[0]
    assert "dropout draws other masks from here on" in resumed[0]


def test_a_run_does_not_start_without_its_config_json(opened, tmp_path, monkeypatch):
    def refuse(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(run_module, "write_text", refuse)
    with pytest.raises(OSError, match=r"No space left on device.*config\.json"), opened():
        pass


@pytest.mark.parametrize("name", ["r\udcff", "r\udcc3\udca9"])  # bytes that are no text here
def test_a_name_that_is_no_text_is_refused_before_anything_is_written(tmp_path, name, monkeypatch):
    with pytest.raises(ConfigError, match=r"cannot be used: it is not utf-8"):
        require_utf8(tmp_path / name)
    require_utf8(tmp_path / "바른 이름 é")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")  # LC_ALL=C PYTHONUTF8=0
    with pytest.raises(ConfigError, match=r"it is not ascii, this locale's(.|\n)*PYTHONUTF8=1"):
        require_utf8(tmp_path / name)


def test_a_hang_before_the_loop_ends_the_process(tmp_path):
    code, _, err = children.run(HANG_AT_START, tmp_path / "run")
    assert code == EXIT_WATCHDOG
    assert "no progress for 2 s" in err
    assert "in hang_here" in err


HANG_AT_START = """
import sys, time
from pathlib import Path
from bert_jax.config import LoopConfig
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import open_run
from tests.training.test_run import Config

def hang_here():
    time.sleep(60)

loop = LoopConfig(10, watchdog_seconds=1.0)
with open_run(Path(sys.argv[1]), Config(), loop, hang_here, parallel=DataParallel(), hashes={}):
    pass
"""


def test_the_user_is_told_how_to_resume(capsys, monkeypatch):
    arguments = ["pretrain.py", "tiny", "--data", "my data", "--wandb-key", "x"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert report_preemption(1234) == 75
    assert capsys.readouterr().out == (
        "saved step 1,234; re-run the same command to resume\n"
        "next: python pretrain.py tiny --data 'my data' --wandb-key '***'\n"
    )


CLOSED = """
import os, sys
from bert_jax.training.run import report_preemption
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
sys.exit(report_preemption(3))
"""


def test_a_closed_terminal_does_not_change_the_exit_code():
    code, _, err = children.run(CLOSED)
    assert (code, err) == (75, "")
