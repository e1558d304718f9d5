import errno
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.training import checkpoint, checkpoint_hashes
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.checkpoint_arrays import load_params
from tests.training import children

IDENTITY = {"model.hidden_size": "768", "tokenizer": "abc"}


def sharding(num_devices: int = 8) -> NamedSharding:
    devices = np.array(jax.devices()[:num_devices])
    mesh = jax.sharding.Mesh(devices, ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec())


def make_state(value: float = 1.0) -> dict:
    state = {
        "params": {
            "layer": {"kernel": jnp.arange(6.0).reshape(2, 3) * value},
            "bias": jnp.full(5, value),
        },
        "optimizer": (jnp.full(4, value, jnp.bfloat16), None, jnp.arange(3, dtype=jnp.uint8)),
        "step": jnp.int32(7),
    }
    return jax.device_put(state, sharding())


def bits(state) -> list[tuple[str, tuple, bytes]]:
    def raw(x):
        typed_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if typed_key else x).tobytes()

    return [(str(x.dtype), x.shape, raw(x)) for x in jax.tree.leaves(state)]


class Steps:
    """A folder of checkpoints, and the messages logged about it."""

    def __init__(self, folder: Path, keep_last: int = 10, **options):
        self.folder, self.logged = folder, []
        options = {"identity": IDENTITY, "keep_last": keep_last, **options}
        self.checkpoints = Checkpoints(folder, log=self.logged.append, **options)

    def save(self, step: int, value: float = 1.0, **extra):
        self.checkpoints.save(step, make_state(value), extra, block=True)

    def restore(self, state=None):
        return self.checkpoints.restore(make_state() if state is None else state)

    @property
    def text(self) -> str:
        return "\n".join(self.logged)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """Save steps 10 and 20 of one run; copy their folder before use."""
    steps = Steps(tmp_path_factory.mktemp("two") / "checkpoints")
    steps.save(10, 1.0, metric=2.0)
    steps.save(20, 2.0, metric=3.0)
    steps.checkpoints.close()
    return steps.folder


@pytest.fixture
def copy(two_steps, tmp_path):
    return shutil.copytree(two_steps, tmp_path / "checkpoints")


def flip_bit(path: Path, rng=random.Random(0)):  # noqa: B008
    data = bytearray(path.read_bytes())
    bit = rng.randrange(len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def truncate(path: Path):
    os.truncate(path, path.stat().st_size // 2)


def newest_files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in sorted((folder / "20").rglob("*")) if p.is_file()]


def test_every_type_comes_back_bit_for_bit(tmp_path):
    floats = np.array([0.0, -0.0, 1e-45, np.pi, -1e38], np.float32)
    state = {
        "params": {"w": jnp.asarray(floats), "half": jnp.asarray(floats, jnp.bfloat16)},
        "small": (jnp.ones(3, jnp.float8_e4m3fn), jnp.arange(-2, 3, dtype=jnp.int4)),
        "ints": [jnp.arange(5, dtype=jnp.uint16), jnp.array([True, False]), None],
        "empty": jnp.zeros((0, 3)),
        "key": jax.random.key(1, impl="philox4x32"),
        "keys": jax.random.split(jax.random.key(2), 3),
    }
    state = jax.device_put(state, sharding())
    steps = Steps(tmp_path)
    steps.checkpoints.save(3, state, {"metric": 0.1, "note": "é"}, block=True)
    restored, step, extra = steps.restore(state)
    assert (step, extra) == (3, {"metric": 0.1, "note": "é"})
    assert bits(restored) == bits(state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for x in jax.tree.leaves(restored):
        assert x.sharding.is_equivalent_to(sharding(), x.ndim)


def test_a_state_that_is_donated_after_save_is_saved_as_it_was(tmp_path):
    steps = Steps(tmp_path)
    state = jax.device_put({"w": jnp.zeros((300, 300))}, sharding())
    add = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    for step in range(1, 4):
        state = add(state)
        steps.checkpoints.save(step, state, {})
        for _ in range(3):
            state = jax.block_until_ready(add(state))
    restored, step, _ = steps.restore(state)
    assert step == 3
    assert np.unique(np.asarray(restored["w"])).tolist() == [9.0]


def test_save_returns_before_the_step_is_complete_and_the_manifest_comes_last(
    tmp_path, monkeypatch
):
    proceed, seen = threading.Event(), []
    write_manifest = checkpoint.write_manifest

    def slow(folder, manifest):
        proceed.wait(60)
        seen.extend([(folder / "5").is_dir(), (folder / "5.manifest.json").exists()])
        write_manifest(folder, manifest)

    monkeypatch.setattr(checkpoint, "write_manifest", slow)
    steps = Steps(tmp_path)
    steps.checkpoints.save(5, make_state(), {})
    assert not (tmp_path / "5.manifest.json").exists()
    proceed.set()
    steps.checkpoints.close()
    assert seen == [True, False]
    manifest = json.loads((tmp_path / "5.manifest.json").read_text())
    assert manifest["identity"] == IDENTITY
    assert manifest["versions"]["jax"] == jax.__version__
    assert set(manifest["files"]) == {
        str(p.relative_to(tmp_path / "5")) for p in (tmp_path / "5").rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("num_devices", [8, 4, 1])
def test_another_number_of_devices_reads_the_same_bits(copy, num_devices):
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding(num_devices)),
        make_state(),
    )
    restored, step, _ = Steps(copy).restore(abstract)
    assert step == 20
    assert bits(restored) == bits(make_state(2.0))
    assert {len(x.sharding.device_set) for x in jax.tree.leaves(restored)} == {num_devices}


def test_no_steps_at_all_is_a_new_run(tmp_path):
    assert Steps(tmp_path / "new").restore() is None


@pytest.mark.parametrize("damage", [flip_bit, truncate, Path.unlink])
def test_damage_to_any_file_is_found_and_the_step_before_is_used(two_steps, tmp_path, damage):
    files = [*newest_files(two_steps), "20.manifest.json"]
    assert len(files) > 8
    for i, name in enumerate(files):
        folder = shutil.copytree(two_steps, tmp_path / str(i))
        damage(folder / name)
        steps = Steps(folder)
        restored, step, extra = steps.restore()
        assert (step, extra) == (10, {"metric": 2.0}), name
        assert bits(restored) == bits(make_state(1.0))
        assert name.removeprefix("20/") in steps.text
        assert "resuming from step 10: 10 steps are lost" in steps.text
        aside = {n for n in steps.names() if n.startswith("20.bad-")}
        assert len(aside) == 1 + (not (damage is Path.unlink and "manifest.json" in name))
        assert not {"20", "20.manifest.json"} & steps.names()
        steps.checkpoints.close()
    steps = Steps(folder)
    steps.save(20, 5.0)  # the lost steps are repeated
    assert bits(steps.restore()[0]) == bits(make_state(5.0))


@pytest.mark.heavy
def test_a_hundred_flipped_bits_are_found(two_steps, tmp_path):
    rng = random.Random(1)
    names = newest_files(two_steps)
    for i in range(100):
        folder = shutil.copytree(two_steps, tmp_path / str(i))
        flip_bit(folder / rng.choice(names), rng)
        assert Steps(folder).restore()[1] == 10
        shutil.rmtree(folder)


def refuse_to_read(monkeypatch, refused: Path):
    """Make the operating system refuse to read a file, as a dying disk does."""

    def refusing(method):
        def call(path, *args, **options):
            if path == refused:
                raise OSError(errno.EIO, "Input/output error", str(path))
            return method(path, *args, **options)

        return call

    for name in "open", "read_text":
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


@pytest.mark.parametrize("name", ["20/_METADATA", "20.manifest.json"])
def test_a_step_that_cannot_be_read_stays_and_the_step_before_is_used(copy, monkeypatch, name):
    files = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        refuse_to_read(patch, copy / name)
        steps = Steps(copy, keep_last=1)
        assert steps.restore()[1] == 10
        reason = f"{name.removeprefix('20/')} cannot be read: Input/output error"
        assert f"checkpoint 20 stays where it is, unused: {'file ' * ('/' in name)}{reason}" in (
            steps.text
        )
        assert "make the files readable" in steps.text
        assert {path: path.read_bytes() for path in files if path != copy / name} == {
            path: data for path, data in files.items() if path != copy / name
        }
        steps.save(15, 3.0)
        assert {"15", "20", "20.manifest.json"} <= steps.names()  # neither counts for the other
        assert load_params(copy, log=steps.logged.append)[1] == {}  # step 15
    assert Steps(copy).restore()[1] == 20  # as soon as it can be read


def test_a_step_that_could_not_be_read_is_replaced_when_the_run_comes_there_again(
    copy, monkeypatch
):
    with monkeypatch.context() as patch:
        refuse_to_read(patch, copy / "20" / "_METADATA")
        steps = Steps(copy)
        steps.restore()
        steps.save(20, 5.0)
    assert "it cannot be read, and a new save replaces it" in steps.text
    restored, step, _ = Steps(copy).restore()
    assert (step, bits(restored)) == (20, bits(make_state(5.0)))
    assert any(name.startswith("20.bad-") for name in steps.names())


def test_steps_of_which_none_can_be_read_end_the_run(copy, monkeypatch):
    monkeypatch.setattr(checkpoint_hashes, "hash_files", lambda folder: os.listdir(folder / "no"))
    with pytest.raises(CheckpointError, match="step 20: file no cannot be read") as error:
        Steps(copy).restore()
    assert error.value.exit_code == 4
    assert "make the files readable, restore" in str(error.value)
    assert {"10", "20"} <= {path.name for path in copy.iterdir()}


def test_a_folder_that_cannot_be_listed_is_not_a_new_run(copy, monkeypatch):
    def refuse(folder="."):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    steps = Steps(copy)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError):
        steps.restore()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_while_the_run_trains_ends_it(tmp_path, replaced):
    steps = Steps(tmp_path / "run" / "checkpoints")
    steps.save(1)
    shutil.rmtree(tmp_path / "run")
    if replaced:
        steps.folder.mkdir(parents=True)
    with pytest.raises(
        CheckpointError, match="removed or renamed while the run trained; step 2 is"
    ):
        steps.save(2)
    assert (tmp_path / "run").exists() == replaced
    steps.checkpoints.close()


def test_a_manifest_that_is_a_pipe_is_not_waited_for(copy):
    (copy / "20.manifest.json").unlink()
    os.mkfifo(copy / "20.manifest.json")
    assert Steps(copy).restore()[1] == 10


def test_names_that_only_look_like_steps_are_left_alone(copy):
    for name in "007", "٣", "x.deleting", "1.5":
        (copy / name).mkdir()
    steps = Steps(copy)
    assert steps.restore()[1] == 20
    assert {"007", "٣", "1.5"} <= steps.names()


def test_a_step_whose_directory_is_gone_is_reported(copy):
    shutil.rmtree(copy / "20")
    steps = Steps(copy)
    assert steps.restore()[1] == 10
    assert "checkpoint 20 is bad: file" in steps.text


def test_steps_without_a_good_one_end_the_run_and_stay_where_they_are(copy):
    flip_bit(next(p for p in (copy / "20").rglob("d/*") if p.is_file()))
    (copy / "10.manifest.json").unlink()
    before = {path.name for path in copy.iterdir()}
    for _ in range(2):
        with pytest.raises(CheckpointError, match="no usable checkpoint") as error:
            Steps(copy).restore()
        assert error.value.exit_code == 4
        assert "step 10: 10.manifest.json is missing" in str(error.value)
        assert "step 20: file" in str(error.value)
        assert "SHA-256" in str(error.value)
    assert {path.name for path in copy.iterdir()} == before


def test_a_missing_manifest_can_be_allowed(copy):
    (copy / "20.manifest.json").unlink()
    steps = Steps(copy, allow_unverified=True)
    restored, step, extra = steps.restore()
    assert (step, extra) == (20, {})
    assert bits(restored) == bits(make_state(2.0))
    assert "20 has no manifest and is used unverified" in steps.text
    steps.save(20, 4.0)
    assert Steps(copy).restore()[1] == 20
    assert any(name.startswith("20.bad-") for name in steps.names())


def test_unverified_files_that_cannot_be_read_are_an_error_for_people(copy):
    for step in "10", "20":
        (copy / f"{step}.manifest.json").unlink()
    # Not the arrays: Orbax leaves futures behind then, and they warn in the next test.
    truncate(copy / "20" / "_METADATA")
    with pytest.raises(CheckpointError, match=r"checkpoint 20 in .* cannot be read"):
        Steps(copy, allow_unverified=True).restore()


def test_a_manifest_of_another_step_is_refused(copy):
    shutil.copy(copy / "10.manifest.json", copy / "20.manifest.json")
    steps = Steps(copy)
    assert steps.restore()[1] == 10
    assert "20.manifest.json belongs to step 10" in steps.text


def test_a_changed_manifest_is_bad_even_where_it_reads_well(copy):
    path = copy / "20.manifest.json"
    path.write_text(path.read_text().replace('"768"', '"512"'))
    steps = Steps(copy)
    assert steps.restore()[1] == 10
    assert "20.manifest.json was changed: it does not match its own checksum" in steps.text


def test_another_identity_names_every_field_and_both_values_before_arrays_are_read(
    copy, monkeypatch
):
    monkeypatch.setattr(checkpoint.ArrayStore, "read", lambda *_: pytest.fail("read an array"))
    given = {"model.hidden_size": "512", "tokenizer": "abc", "data": "d1"}
    with pytest.raises(ConfigError) as error:
        Steps(copy, identity=given).restore()
    assert error.value.exit_code == 2
    assert "model.hidden_size (saved 768, given 512)" in str(error.value)
    assert "data (saved (absent), given d1)" in str(error.value)
    assert "tokenizer" not in str(error.value)
    assert "20" in {path.name for path in copy.iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["params"].update(bias=jnp.ones(6)), r"params/bias .*float32\[5\].*\[6\]"),
        (lambda s: s.update(step=jnp.float32(7)), r"step \(saved int32\[\], expected float32\[\]"),
        (lambda s: s["params"].update(bias=jnp.ones(5, jnp.bfloat16)), "expected bfloat16"),
        (lambda s: s["params"].update(new=jnp.ones(5)), "params/new .saved nothing, expected flo"),
        (lambda s: s["params"].pop("bias"), r"params/bias .saved float32\[5\], expected nothing"),
    ],
    ids=["shape", "type", "half", "missing", "unexpected"],
)
def test_nothing_is_cast_padded_or_left_out(copy, change, message):
    state = make_state()
    change(state)
    with pytest.raises(ConfigError, match=message):
        Steps(copy).restore(state)
    assert "20" in {path.name for path in copy.iterdir()}


def test_another_random_generator_is_refused(tmp_path):
    steps = Steps(tmp_path)
    keys = {name: {"key": jax.random.key(0, impl=name)} for name in ("threefry2x32", "philox4x32")}
    keys = jax.device_put(keys, sharding())
    steps.checkpoints.save(1, keys["threefry2x32"], {}, block=True)
    with pytest.raises(ConfigError, match=r"key \(saved key<fry>\[\], expected key<phx4>\[\]\)"):
        steps.restore(keys["philox4x32"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_restored_nan_is_refused(tmp_path, value):
    steps = Steps(tmp_path)
    steps.save(1, 1.0)
    steps.save(2, value)
    assert steps.restore()[1] == 1
    assert "checkpoint 2 is bad: optimizer/0 holds NaN or Inf" in steps.text
    assert "resuming from step 1: 1 steps are lost" in steps.text
    steps = Steps(tmp_path / "only")
    steps.save(1, value)
    with pytest.raises(CheckpointError, match="step 1: optimizer/0 holds NaN or Inf"):
        steps.restore()


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    steps = Steps(tmp_path, keep_last=2)
    for step, metric in enumerate([None, 3.0, 1.0, float("nan"), 2.0, None, 4.0], start=1):
        steps.save(step, metric=metric)
    assert steps.names() == {f"{s}{end}" for s in (3, 6, 7) for end in ("", ".manifest.json")}


def test_pruning_without_metrics_keeps_the_newest(tmp_path):
    steps = Steps(tmp_path, keep_last=1)
    for step in range(1, 4):
        steps.save(step)
    assert steps.names() == {"3", "3.manifest.json"}


def test_pruning_keeps_multiples_for_good(tmp_path):
    steps = Steps(tmp_path, keep_last=1, keep_every=20)
    for step in (10, 20, 30, 40, 45, 50):
        steps.save(step)
    assert steps.names() == {f"{s}{end}" for s in (20, 40, 50) for end in ("", ".manifest.json")}


def test_a_failed_save_never_costs_the_only_good_step(tmp_path, monkeypatch):
    steps = Steps(tmp_path, keep_last=1)
    steps.save(1)
    monkeypatch.setattr(checkpoint, "write_manifest", lambda *_: (_ for _ in ()).throw(OSError(28)))
    with pytest.raises(CheckpointError, match="step 2 was not saved"):
        steps.save(2)
    assert steps.names() == {"1", "1.manifest.json"}
    assert steps.restore()[1] == 1


def test_a_saved_step_is_not_saved_again(tmp_path):
    steps = Steps(tmp_path)
    steps.save(1, 1.0)
    steps.save(1, 2.0)
    assert bits(steps.restore()[0]) == bits(make_state(1.0))


def test_leftovers_of_a_killed_process_are_removed_at_the_start(copy):
    for name in "30.saving", "30.saving.orbax-checkpoint-tmp", "9.deleting", "21.bad-x":
        (copy / name).mkdir()
        (copy / name / "file").touch()
    (copy / "9.manifest.json").touch()
    (copy / "30.manifest.tmp").touch()
    names = Steps(copy).names()
    assert names == {"10", "20", "10.manifest.json", "20.manifest.json", "21.bad-x"}


def test_parameters_alone_for_inference(copy):
    params, extra, identity = load_params(copy.parent)
    assert (extra, identity) == ({"metric": 3.0}, IDENTITY)
    assert bits(params) == bits(make_state(2.0)["params"])
    assert {type(x) for x in jax.tree.leaves(params)} == {np.ndarray}
    params, extra, _ = load_params(copy, "best")
    assert extra == {"metric": 2.0}
    assert bits(params) == bits(make_state(1.0)["params"])


def test_inference_uses_another_step_with_a_warning_and_changes_nothing(copy):
    flip_bit(next(p for p in (copy / "20").rglob("d/*") if p.is_file()))
    before, logged = {path.name for path in copy.iterdir()}, []
    assert load_params(copy, log=logged.append)[1] == {"metric": 2.0}
    assert "checkpoint 20 is bad" in logged[0]
    assert "step 10 is used" in logged[0]
    (copy / "10.manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        load_params(copy)
    assert {path.name for path in copy.iterdir()} == before


def test_of_several_numbers_the_first_that_differs_decides_which_step_is_best(tmp_path):
    steps = Steps(tmp_path, keep_last=1)
    for step, metric in ((1, (0, 2.0)), (2, (-1, 5.0)), (3, (-1, 6.0)), (4, (-1, float("nan")))):
        steps.save(step, metric=metric)
    assert load_params(tmp_path, "best", log=steps.logged.append)[1]["metric"] == [-1, 5.0]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "2.manifest.json", "4.manifest.json",
    ]  # fmt: skip


FULL_DISK = """
import resource, signal, sys, os
from pathlib import Path
import jax, numpy as np
from bert_jax.errors import CheckpointError
from bert_jax.training.checkpoint import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
values = np.random.default_rng(0).normal(size=500_000)
state = {name: jax.numpy.asarray(values) for name in "abcdefgh"}
checkpoints = Checkpoints(folder, {}, 5)
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
checkpoints.save(1, state, {}, block=True)
limit(100_000)
checkpoints.save(2, state, {})
checkpoints.save(3, state, {})
print("restored", checkpoints.restore(state)[1], sorted(os.listdir(folder)))
limit(resource.RLIM_INFINITY)
checkpoints.save(4, state, {})
print("restored", checkpoints.restore(state)[1])
limit(100_000)
for step in 5, 6, 7:
    checkpoints.save(step, state, {})
try:
    checkpoints.save(8, state, {})
except CheckpointError as error:
    print("exit", error.exit_code, error)
print(sorted(os.listdir(folder)))
"""


def test_a_full_disk_is_logged_survived_and_fatal_the_third_time_in_a_row(tmp_path):
    code, out, err = children.run(FULL_DISK, tmp_path)
    assert code == 0, err
    lines = out.splitlines()
    warnings = [line for line in lines if line.startswith("warning: step")]
    assert [line.split(" was not saved")[0] for line in warnings] == [
        f"warning: step {step}" for step in (2, 3, 5, 6, 7)
    ]
    assert all("saving: File too large (failure" in line for line in warnings)
    assert err == ""  # nothing of Orbax's own
    assert "(failure 2 in a row)" in warnings[1]
    assert "(failure 1 in a row)" in warnings[2]
    assert "restored 1 ['1', '1.manifest.json']" in lines
    assert "restored 4" in lines
    assert "exit 4 step 7 was not saved" in out
    assert lines[-1] == "['1', '1.manifest.json', '4', '4.manifest.json']"


SAVE_FOR_EVER = """
import sys
from pathlib import Path
import jax.numpy as jnp
from bert_jax.training.checkpoint import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), {}, 2)
abstract = {name: jnp.zeros((50, 1000)) for name in "abcdef"}
restored = checkpoints.restore(abstract)
start = restored[1] if restored else 0
print("started", flush=True)
for step in range(start + 1, start + 100_000):
    checkpoints.save(step, {name: jnp.full((50, 1000), float(step)) for name in "abcdef"}, {})
"""


def verified_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.split(".")[0]) for path in folder.glob("*.manifest.json"))


def assert_kills_cost_no_verified_step(folder: Path, times: int, rng: random.Random):
    abstract = {name: jax.device_put(jnp.zeros((50, 1000)), sharding()) for name in "abcdef"}
    newest = 0
    for _ in range(times):
        child = children.start(SAVE_FOR_EVER, folder)
        assert child.stdout.readline() == "started\n", children.finish(child)
        while max(verified_steps(folder), default=0) <= newest and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        child.send_signal(signal.SIGKILL)
        code, out, err = children.finish(child)
        assert code == -signal.SIGKILL, err
        assert "bad" not in out
        assert len(list(folder.glob("*.saving*"))) <= 1
        verified = verified_steps(folder)[-1]
        steps = Steps(folder, identity={})
        restored, step, _ = steps.restore(abstract)
        steps.checkpoints.close()
        assert step >= verified, steps.text
        assert all((np.asarray(x) == step).all() for x in restored.values())
        assert not list(folder.glob("*.saving*"))
        newest = step


def test_a_kill_in_the_middle_of_saves_never_costs_a_verified_step(tmp_path):
    assert_kills_cost_no_verified_step(tmp_path, 3, random.Random())


@pytest.mark.heavy
def test_many_kills_in_the_middle_of_saves(tmp_path):
    assert_kills_cost_no_verified_step(tmp_path, 25, random.Random())


PAIR = """
import hashlib, json, os
from pathlib import Path
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from bert_jax.errors import UserError
from bert_jax.training.checkpoint import Checkpoints
folder, logged = Path(sys.argv[3]), []
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
def put(value, spec):
    data = np.arange(32, dtype=np.float32).reshape(8, 4) * value
    return jax.make_array_from_callback((8, 4), NamedSharding(mesh, spec), lambda i: data[i])
def make(value):
    return {"params": {"w": put(value, P())}, "rows": put(value, P("data"))}
def digest(state):
    return [hashlib.sha256(np.asarray(multihost_utils.process_allgather(x, tiled=True)).tobytes())
            .hexdigest() for x in jax.tree.leaves(state)]
abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
                        make(0))
checkpoints = Checkpoints(folder, {"a": "1"}, 5, log=logged.append)
result = {"empty": checkpoints.restore(abstract)}
checkpoints.save(10, make(1), {"metric": 2.5})
checkpoints.save(20, make(2), {}, block=True)
state, step, extra = checkpoints.restore(abstract)
result["newest"] = [step, extra, digest(state), digest(state) == digest(make(2))]
multihost_utils.sync_global_devices("read")
if jax.process_index() == 0:
    path = max((folder / "20").rglob("d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
state, step, extra = checkpoints.restore(abstract)
result["before"] = [step, extra, digest(state), digest(state) == digest(make(1))]
try:
    Checkpoints(folder, {"a": "2"}, 5).restore(abstract)
except UserError as error:
    result["other"] = str(error)
checkpoints.close()
print(json.dumps([result, logged]))
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return the results of two processes, and their folder, with step 10 and a bad step 20."""
    folder = tmp_path_factory.mktemp("pair")
    results = children.finish_pair(children.start_pair(PAIR, folder))
    for code, _, err in results:
        assert code == 0, err
    return [json.loads(out.splitlines()[-1]) for _, out, _ in results], folder


def test_two_processes_save_and_restore_the_same_step(pair):
    (first, logged), (second, logged_by_second) = pair[0]
    assert first == second
    assert first["empty"] is None
    assert first["newest"][:2] == [20, {}]
    assert first["before"][:2] == [10, {"metric": 2.5}]
    assert first["newest"][3]
    assert first["before"][3]
    assert "a (saved 1, given 2)" in first["other"]
    assert any("10 steps are lost" in text for text in logged)
    assert logged_by_second == []


def test_steps_of_two_processes_are_read_by_one(pair):
    abstract = {"params": {"w": jnp.zeros((8, 4))}, "rows": jnp.zeros((8, 4))}
    abstract = jax.device_put(abstract, sharding(1))
    restored, step, _ = Steps(pair[1], identity={"a": "1"}).restore(abstract)
    assert step == 10
    expected = np.arange(32, dtype=np.float32).reshape(8, 4)
    np.testing.assert_array_equal(restored["params"]["w"], expected)
    np.testing.assert_array_equal(restored["rows"], expected)
