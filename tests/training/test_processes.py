"""Agreement between the processes of a job, in two real processes."""

import json

import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.training.processes import agree, require_agreement
from tests.training import children

PAIR = """
import json
from pathlib import Path
from bert_jax.errors import ConfigError, DataError, UserError
import numpy as np
from bert_jax.training.processes import agree, require_agreement, share_array

first, results = jax.process_index() == 0, {}

def attempt(name, work):
    try:
        results[name] = work()
    except UserError as error:
        results[name] = [type(error).__name__, str(error)]

attempt("equal", lambda: require_agreement({"seed": "1", "data": "abc"}))
attempt("seed", lambda: require_agreement({"seed": "1" if first else "3", "data": "abc"}))
attempt("longer", lambda: require_agreement({"rate": "1e-4"} if first else {"data": "é" * 500}))
attempt("answer", lambda: agree(lambda: {"step": 7} if first else 1 / 0))

def refuse():
    raise DataError("wrong", "right", "fix it")

attempt("error", lambda: agree(refuse))
attempt("file", lambda: agree(lambda: Path("/dev/null/x").mkdir()))
zeros, third = np.zeros(2, np.float32), np.float32(1) / 3
attempt("array", lambda: share_array(lambda: zeros + third if first else 1 / 0, zeros).tolist())
attempt("no array", lambda: share_array(refuse, zeros))
print(json.dumps(results))
"""


def test_two_processes_find_what_differs_and_share_answers_and_errors():
    results = children.finish_pair(children.start_pair(PAIR))
    for code, _, err in results:
        assert code == 0, err
    first, second = (json.loads(out.splitlines()[-1]) for _, out, _ in results)
    assert first == second
    assert first["equal"] is None
    kind, message = first["seed"]
    assert kind == "ConfigError"
    assert "the processes of this job disagree: seed (process 0: 1, process 1: 3)\n" in message
    assert "start every process with the same command" in message
    assert "rate (process 0: 1e-4, process 1: None)" in first["longer"][1]
    assert f"data (process 0: None, process 1: {'é' * 500})" in first["longer"][1]
    assert first["answer"] == {"step": 7}
    assert first["error"] == ["DataError", "wrong\n  expected: right\n  fix:      fix it"]
    assert first["array"] == [float(np.float32(1) / 3)] * 2
    assert first["no array"] == first["error"]
    assert first["file"][0] == "ConfigError"
    assert first["file"][1].startswith("/dev/null/x: Not a directory\n")


OPEN = """
import dataclasses, sys
from pathlib import Path
import optax
from bert_jax.config import LoopConfig, MayDiffer
from bert_jax.errors import report_user_errors
from bert_jax.filesystem import lock_folder
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import open_run
from bert_jax.training.step import make_state_init

@dataclasses.dataclass(frozen=True)
class Config:
    name: MayDiffer[str] = "r"
    eval_rows: MayDiffer[int] = 8
    data: MayDiffer[str] = f"/mnt/{jax.process_index()}"  # each machine has its own path
    tensorboard: MayDiffer[bool] = False
    wandb: MayDiffer[str | None] = None
    allow_unverified: MayDiffer[bool] = False

def new_state():
    assert what == "nothing", "nothing may be computed before the processes agree"
    return make_state_init(
        lambda key: {"w": jax.numpy.zeros(2)}, optax.adam(1.0), parallel.replicated
    )(jax.random.key(1), jax.random.key(2))

@report_user_errors
def main():
    config = Config(eval_rows=8 + (number if what == "rows" else 0))
    hashes = {"data": "a" * 64 if number == 0 or what != "data" else "b" * 64}
    with open_run(folder, config, LoopConfig(10), new_state, parallel=parallel, hashes=hashes):
        return 0

folder, what, number, parallel = Path(sys.argv[3]), sys.argv[4], int(sys.argv[2]), DataParallel()
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("nothing", 0, ""),
        ("data", 2, f"data (process 0: {'a' * 64}, process 1: {'b' * 64})\n"),
        ("rows", 2, "eval_rows (process 0: 8, process 1: 9)\n"),
    ],
)
def test_a_run_is_opened_only_by_processes_that_agree(tmp_path, what, code, message):
    results = children.finish_pair(children.start_pair(OPEN, tmp_path / "run", what))
    assert [result[0] for result in results] == [code, code], results
    for _, _, err in results:
        assert message in err
        assert "Traceback" not in err
    assert (tmp_path / "run").exists() == (what == "nothing")


def test_one_process_agrees_with_itself_and_keeps_its_own_errors():
    assert agree(lambda: 1) == 1
    require_agreement({"seed": "1"})
    with pytest.raises(ConfigError, match="wrong"):
        agree(lambda: (_ for _ in ()).throw(ConfigError("wrong", "right", "fix")))
