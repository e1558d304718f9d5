"""Extension of a run: where it continues, what is refused, and which rows come next."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import OptimizerConfig, Phase
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import CheckpointError, ConfigError, DivergedError
from bert_jax.training.checkpoint_hashes import read_manifest, write_manifest
from bert_jax.training.extension import (
    RECORD,
    Extension,
    advise_after_divergence,
    open_extension,
    reset_schedule,
)
from bert_jax.training.optimizers import make_optimizer
from tests.nano import make_nano


@pytest.fixture
def source(nano_run, tmp_path):
    """Copy a finished run of ten steps, whose checkpoints are 8 and 10; the test may damage it."""
    shutil.copytree(nano_run / "checkpoints", tmp_path / "source" / "checkpoints")
    return tmp_path / "source"


@pytest.fixture
def hashes(prepared):
    data = PreparedData(prepared)
    return {"tokenizer": data.tokenizer.sha256, "data": data.fingerprint}


@pytest.fixture
def longer(prepared, tmp_path, source):
    """Return a new run that extends the source."""
    config = make_nano(prepared, tmp_path)
    config = config.with_vocab_size(PreparedData(prepared).tokenizer.vocab_size)
    return replace(config, name="longer", extend_from=str(source))


def edit_identity(run, **values):
    """Change values in the identity of a run's newest checkpoint."""
    manifest = read_manifest(run / "checkpoints", 10)
    manifest["identity"] |= values
    write_manifest(run / "checkpoints", manifest)


def test_it_continues_from_the_newest_step_after_the_rows_that_were_read(
    longer, source, hashes, tmp_path
):
    extension = open_extension(longer, tmp_path / "longer", hashes)
    assert extension == Extension(
        str(source), 10, extension.state, {"32": 6 * 16, "64": 4 * 8}
    )  # its two phases
    assert len(extension.state) == 64
    assert extension.describe() == [
        f"extends {source} at step 10, with its optimizer state; the data continues after "
        "96 rows of 32 tokens, 32 rows of 64 tokens"
    ]
    at_8 = replace(longer, extend_from=f"{source}/checkpoints/8")
    earlier = open_extension(at_8, tmp_path / "longer", hashes)
    assert (earlier.run, earlier.step, earlier.rows_before) == (
        str(source),
        8,
        {"32": 96, "64": 16},
    )
    assert earlier.identity.keys() == extension.identity.keys()
    assert earlier.identity != extension.identity


def test_the_rows_of_runs_that_the_source_itself_extends_are_counted(
    longer, source, hashes, tmp_path
):
    edit_identity(source, rows_before='{"32": 1000, "128": 7}')
    extension = open_extension(longer, tmp_path / "longer", hashes)
    assert extension.rows_before == {"32": 1096, "64": 32, "128": 7}


def test_other_data_and_another_order_start_from_their_first_row(longer, hashes, tmp_path):
    other = open_extension(longer, tmp_path / "longer", {**hashes, "data": "other"})
    shuffled = open_extension(replace(longer, seed=1), tmp_path / "longer", hashes)
    assert other.rows_before == shuffled.rows_before == {}
    assert other.describe()[0].endswith("the data starts from its beginning")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, model=replace(c.model, hidden_size=64)),
         r"model.hidden_size = 64, but .*source has 32\n.*\n.*pass --model.hidden-size 32"),
        (lambda c: replace(c, model=replace(c.model, vocab_size=999)),
         r"model.vocab_size = 999, but"),
        (lambda c: replace(c, optimizer=replace(c.optimizer, name="lamb")),
         r'optimizer.name = "lamb", but .* has "adamw"\n.*\n.*pass --optimizer.name adamw'),
        (lambda c: replace(c, extend_from=c.extend_from + "/nowhere"), "holds no run to extend"),
        (lambda c: replace(c, extend_from=c.runs_dir + "/longer"), "the new run itself"),
    ],
)  # fmt: skip
def test_another_model_or_optimizer_is_refused_by_name(longer, hashes, tmp_path, change, message):
    config = change(longer)
    with pytest.raises(ConfigError, match=message):
        open_extension(config, Path(config.runs_dir) / "longer", hashes)


def test_rate_schedule_dropout_and_length_may_differ(longer, hashes, tmp_path):
    changed = replace(
        longer,
        model=replace(longer.model, hidden_dropout_prob=0.0),
        optimizer=OptimizerConfig(learning_rate=1.0, schedule="constant", clip_norm=None),
        phases=(Phase(32, 8),),
    )
    assert open_extension(changed, tmp_path / "longer", hashes).step == 10


def test_another_vocabulary_or_kind_of_run_is_refused(longer, source, hashes, tmp_path):
    with pytest.raises(ConfigError, match="a different vocabulary or casing from"):
        open_extension(longer, tmp_path / "longer", {**hashes, "tokenizer": "other"})
    manifest = read_manifest(source / "checkpoints", 10)
    del manifest["identity"]["masking.rate"]
    write_manifest(source / "checkpoints", manifest)
    with pytest.raises(ConfigError, match=r"is not a run of pretrain\.py"):
        open_extension(longer, tmp_path / "longer", hashes)


def test_advice_names_the_run_where_a_step_is_extended(longer, source, hashes, tmp_path):
    config = replace(longer, extend_from=str(source / "checkpoints/10"))
    with pytest.raises(ConfigError, match=rf"--vocab {source}$"):
        open_extension(config, tmp_path / "longer", {**hashes, "tokenizer": "other"})
    with pytest.raises(ConfigError, match=rf"--encoder {source}$"):
        open_extension(config, tmp_path / "longer", {**hashes, "architecture": "BertForMaskedLM"})


def test_a_damaged_step_is_named_and_the_one_before_is_extended(longer, source, hashes, tmp_path):
    victim = next(p for p in (source / "checkpoints/10").rglob("*") if p.is_file())
    victim.write_bytes(b"damaged")
    said = []
    extension = open_extension(longer, tmp_path / "longer", hashes, said.append)
    assert extension.step == 8
    assert "checkpoint 10 is bad" in said[0]
    assert "step 8 is extended" in said[0]
    at_10 = replace(longer, extend_from=f"{source}/checkpoints/10")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        open_extension(at_10, tmp_path / "longer", hashes)
    with pytest.raises(CheckpointError, match="there is no such step"):
        open_extension(
            replace(longer, extend_from=f"{source}/checkpoints/9"), tmp_path / "longer", hashes
        )


def test_a_run_with_checkpoints_takes_its_own_record(longer, source, hashes, tmp_path):
    folder = tmp_path / "longer"
    first = open_extension(longer, folder, hashes)
    first.save(folder)
    shutil.rmtree(source)
    with pytest.raises(ConfigError, match="holds no run to extend"):  # nothing is saved yet
        open_extension(longer, folder, hashes)
    (folder / "checkpoints" / "2").mkdir(parents=True)
    assert open_extension(longer, folder, hashes) == first
    (folder / RECORD).write_text(json.dumps({"run": "x"}) + "}")
    with pytest.raises(ConfigError, match=r"extends\.json cannot be read"):
        open_extension(longer, folder, hashes)
    (folder / RECORD).write_text(json.dumps({"path": "x"}))
    with pytest.raises(ConfigError, match="does not name the run that is extended"):
        open_extension(longer, folder, hashes)


def test_the_extended_run_may_have_moved_but_not_changed(longer, source, hashes, tmp_path):
    folder = tmp_path / "longer"
    first = open_extension(longer, folder, hashes)
    first.save(folder)
    (folder / "checkpoints" / "2").mkdir(parents=True)
    shutil.copytree(source, tmp_path / "moved")
    moved = replace(longer, extend_from=str(tmp_path / "moved"))
    assert open_extension(moved, folder, hashes) == first
    manifest = read_manifest(tmp_path / "moved/checkpoints", 10)
    write_manifest(tmp_path / "moved/checkpoints", {**manifest, "files": {}})
    with pytest.raises(ConfigError, match=rf"moved, but .*longer extends {source} at step 10"):
        open_extension(moved, folder, hashes)


def test_nothing_extended_is_nothing(longer, hashes, tmp_path):
    nothing = open_extension(replace(longer, extend_from=None), tmp_path / "longer", hashes)
    assert (nothing.describe(), nothing.identity) == ([], {"extends": None, "rows_before": None})
    nothing.save(tmp_path / "longer")
    assert not (tmp_path / "longer").exists()


@pytest.mark.parametrize("name", ["original", "adamw", "lamb", "muon"])
def test_the_schedule_starts_at_0_and_the_moments_stay(name):
    config = OptimizerConfig(name=name, learning_rate=1.0, warmup_steps=4, clip_norm=None)
    optimizer, schedule = make_optimizer(config, 100)
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    state = optimizer.init(params)
    for _ in range(7):
        _, state = optimizer.update(params, state, params)
    anew = reset_schedule(state)
    updates, _ = optimizer.update(params, anew, params)
    assert float(schedule(0)) == 0.0
    np.testing.assert_array_equal(updates["w"], jnp.zeros((2, 2)))  # the warm-up's first step
    counts = optax.tree.get_all_with_path(anew, "count")
    assert {int(count) for _, count in counts} == ({0} if name == "original" else {0, 7})
    for moment in "mu", "nu":
        pairs = (optax.tree.get_all_with_path(s, moment) for s in (anew, state))
        for (_, new), (_, old) in zip(*pairs, strict=True):
            jax.tree.map(np.testing.assert_array_equal, new, old)


def test_after_a_divergence_the_best_evaluated_step_is_named(source):
    def diverge():
        with advise_after_divergence(source):
            raise DivergedError("3 steps in a row", "finite losses", "…")

    with pytest.raises(DivergedError, match=r"3 steps in a row\n.*\n.*--name NEW --extend-from "
                       rf"{source}/checkpoints/10$"):  # fmt: skip
        diverge()
    for step in 8, 10:
        manifest = read_manifest(source / "checkpoints", step)
        manifest["extra"]["metric"] = None
        write_manifest(source / "checkpoints", manifest)
    with pytest.raises(DivergedError, match=r"another --name \(no checkpoint .* was evaluated\)"):
        diverge()
