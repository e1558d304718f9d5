"""pretrain.py end to end, on a small corpus: exit codes, resuming, refusals, learning."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
import convert
import prepare
import pretrain
from bert_jax.config import (
    LoopConfig,
    OptimizerConfig,
    Phase,
    PrepareConfig,
    phase_spans,
    to_json,
)
from bert_jax.corpus.loader import pretraining_batches
from bert_jax.corpus.phases import phase_batches
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import CheckpointError, ConfigError, DataError, DivergedError
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.checkpoint_hashes import read_manifest
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from tests.extras import need
from tests.nano import MODEL, make_nano
from tests.toy_corpus import write_corpus
from tests.training.interrupted import interrupt_while_saving

ROOT = Path(__file__).parent.parent


@pytest.fixture
def nano(prepared, tmp_path):
    return make_nano(prepared, tmp_path)


def final_state(config):
    """Return the final parameters, and the losses of every step as text."""
    return state_of(Path(config.runs_dir) / config.name)


def state_of(run):
    """Return the same for a run's directory."""
    params, _, _ = load_params(run)
    records = read_metrics(run / "metrics.jsonl")
    losses = [(r["step"], r["split"], repr(r["loss"])) for r in records]
    return jax.tree.leaves(params), losses


def assert_same_bits(first, second):
    assert first[1] == second[1]
    for a, b in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def uninterrupted(nano_run):
    """Return the final state of a run that was never interrupted."""
    return state_of(nano_run)


@pytest.fixture
def finished(nano, nano_run):
    """Copy a finished run, which the test may damage."""
    shutil.copytree(nano_run, Path(nano.runs_dir) / nano.name)
    return nano


def stop_after(monkeypatch, step):
    """Make the loop stop at a step as if a signal had been received."""
    monkeypatch.setattr(StopSignal, "requested", lambda self, now: now == step)


@pytest.mark.parametrize(  # 4: just saved; 6: the next phase begins
    "step",
    [1, pytest.param(4, marks=pytest.mark.heavy), 6, pytest.param(9, marks=pytest.mark.heavy)],
)
def test_resuming_gives_the_same_bits_as_never_stopping(nano, uninterrupted, monkeypatch, step):
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        assert pretrain.main(nano) == 75
    assert pretrain.main(nano) == 0
    assert_same_bits(final_state(nano), uninterrupted)


def test_accumulation_steps_may_differ_on_resume_and_the_numbers_are_equal(nano, monkeypatch):
    model = replace(MODEL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    whole = replace(nano, model=model, phases=(Phase(32, 16),), name="whole")
    parts = replace(whole, name="parts")
    assert pretrain.main(whole) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert pretrain.main(parts) == 75
    assert pretrain.main(replace(parts, accumulation_steps=2)) == 0
    for a, b in zip(final_state(whole)[0], final_state(parts)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.heavy
def test_another_seed_gives_other_weights(nano, uninterrupted):
    assert pretrain.main(replace(nano, seed=1)) == 0
    assert final_state(replace(nano, seed=1))[1] != uninterrupted[1]


@pytest.mark.heavy
def test_muon_on_kernels_that_start_at_0_resumes_as_if_never_stopped(nano, monkeypatch):
    muon = OptimizerConfig(name="muon", learning_rate=1e-3, warmup_steps=2)  # the first rate is 0
    whole = replace(
        nano, optimizer=muon, phases=(Phase(32, 16),), kernel_start="fan_in", zero_outputs=True,
        name="whole",
    )  # fmt: skip
    parts = replace(whole, name="parts")
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        assert pretrain.main(parts) == 75
    layers = load_params(Path(parts.runs_dir) / "parts")[0]["bert"]["layers"]
    assert not layers["attention"]["out"]["kernel"].any()
    assert layers["attention"]["qkv"]["kernel"].std() * MODEL.hidden_size**0.5 == pytest.approx(
        1, rel=0.05
    )
    assert pretrain.main(parts) == pretrain.main(whole) == 0
    assert_same_bits(final_state(parts), final_state(whole))
    with pytest.raises(ConfigError, match=r"zero_outputs \(saved true, given false\)"):
        pretrain.main(replace(whole, zero_outputs=False))


def test_it_starts_from_a_trained_model(nano, nano_run):
    """Run one update at a tiny rate: all weights, heads too, stay the trained ones."""
    still = OptimizerConfig(learning_rate=1e-12, warmup_steps=0, weight_decay=0.0)
    config = replace(
        nano, name="on", encoder=str(nano_run), optimizer=still, phases=(Phase(32, 16),),
        loop=replace(nano.loop, steps=1),
    )  # fmt: skip
    assert pretrain.main(config) == 0
    params, trained = final_state(config)[0], state_of(nano_run)[0]
    for a, b in zip(params, trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    assert load_params(Path(config.runs_dir) / "on")[2]["encoder"]
    with pytest.raises(ConfigError, match=r"encoder \(saved [0-9a-f]{64}"):
        pretrain.main(replace(config, encoder=None))


def test_an_extended_run_continues_as_if_it_had_never_ended(nano, monkeypatch):
    """At a constant rate, ten steps are six and then four, even resumed without the first run."""
    steady = OptimizerConfig(learning_rate=1e-3, warmup_steps=0, schedule="constant")
    whole = replace(nano, optimizer=steady, phases=(Phase(32, 16),), name="whole")
    first = replace(whole, name="first", loop=replace(nano.loop, steps=6))
    source = Path(nano.runs_dir) / "first"
    rest = replace(
        whole, name="rest", loop=replace(nano.loop, steps=4, checkpoint_every=2),
        extend_from=str(source),
    )  # fmt: skip
    assert pretrain.main(whole) == pretrain.main(first) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert pretrain.main(rest) == 75
    shutil.rmtree(source)
    assert pretrain.main(rest) == 0
    for a, b in zip(final_state(rest)[0], final_state(whole)[0], strict=True):
        np.testing.assert_array_equal(a, b)
    run = Path(nano.runs_dir) / "rest"
    assert json.loads((run / "config.json").read_text())["extend_from"] == str(source)
    assert json.loads((run / "extends.json").read_text())["step"] == 6
    assert (
        f"extends {source} at step 6, with its optimizer state" in (run / "train.log").read_text()
    )
    with pytest.raises(ConfigError, match=r"extends \(saved [0-9a-f]{64}, given None\)"):
        pretrain.main(replace(rest, extend_from=None))


DECAY = """
import sys
from dataclasses import replace
from pathlib import Path
import pytest
import pretrain
from bert_jax.config import PretrainConfig, read_json
from tests.test_pretrain import stop_after
whole = read_json(PretrainConfig, Path(sys.argv[1]))
again = replace(whole, decay_from=6)
assert pretrain.main(whole) == 0
with pytest.MonkeyPatch.context() as patch:
    stop_after(patch, 1)
    assert pretrain.main(again) == 75
assert pretrain.main(again) == 0
"""


@pytest.mark.heavy
def test_a_decay_from_where_the_run_decays_ends_at_the_same_bits(nano, tmp_path):
    """Six steps at the peak and four to 0 are one run, or two; the second one resumes too.

    Compiled as runs are: the two programs have other constants, and with the settings that make
    these tests compile fast they round differently.
    """
    optimizer = OptimizerConfig(
        name="muon", learning_rate=1e-3, warmup_steps=2, schedule="wsd", decay_share=0.4
    )
    loop = replace(nano.loop, checkpoint_every=2, keep_last=1, keep_every=6)
    whole = replace(nano, optimizer=optimizer, phases=(Phase(32, 16),), loop=loop)
    path = tmp_path / "whole.json"
    path.write_text(to_json(whole))
    command = [sys.executable, "-c", DECAY, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "XLA_FLAGS": ""})
    for a, b in zip(*(state_of(Path(nano.runs_dir) / run)[0] for run in ("nano", "nano-6+4")),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    with pytest.raises(CheckpointError, match=r"step 4: there is no such step \(--keep-every"):
        pretrain.main(replace(whole, decay_from=4))


def test_new_words_get_embeddings_and_reach_transformers(nano, nano_run, tmp_path):
    """Run one update at a tiny rate: trained weights stay, new rows are the mean of the pieces'."""
    transformers = need("transformers")
    (tmp_path / "words.txt").write_text("catsee\nsea-boat\n")
    text = write_corpus(tmp_path / "text.txt").read_text()
    (tmp_path / "text.txt").write_text(text.replace("the", "catsee, sea-boat"))
    prepare.main(PrepareConfig(
        inputs=(str(tmp_path / "text.txt"),), output=str(tmp_path / "rows"), lengths=(32,),
        vocab=str(nano_run), add_tokens=str(tmp_path / "words.txt"), eval_share=0.1, workers=1,
    ))  # fmt: skip
    still = OptimizerConfig(learning_rate=1e-12, warmup_steps=0, weight_decay=0.0)
    config = replace(
        nano, name="more", data=str(tmp_path / "rows"), encoder=str(nano_run), optimizer=still,
        phases=(Phase(32, 16),), loop=replace(nano.loop, steps=1),
    )  # fmt: skip
    assert pretrain.main(config) == 0
    run = Path(config.runs_dir) / "more"
    assert "2 rows added to" in (run / "train.log").read_text()
    old, new = bert_jax.load(nano_run), bert_jax.load(run)
    size = old.config.vocab_size
    assert new.config.vocab_size == size + 2
    pieces = [old.tokenizer.encode(word) for word in ("catsee", "sea-boat")]
    for x, y in (
        (old.params["bert"]["embeddings"]["word"], new.params["bert"]["embeddings"]["word"]),
        (old.params["mlm"]["bias"], new.params["mlm"]["bias"]),
    ):
        x = np.asarray(x)
        expected = np.concatenate([x, [x[ids].mean(axis=0) for ids in pieces]])
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-7)
    assert convert.main(convert.ConvertConfig(str(run), str(tmp_path / "hf"))) == 0
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    words = "a catsee sees a sea-boat"
    ids = theirs(words, add_special_tokens=False)["input_ids"]
    assert ids == new.tokenizer.encode(words)
    assert {size, size + 1} <= set(ids)
    model = transformers.AutoModelForPreTraining.from_pretrained(tmp_path / "hf")
    assert len(model.get_input_embeddings().weight) == size + 2


def test_a_model_of_another_shape_or_vocabulary_is_refused(nano, nano_run, monkeypatch):
    nano = replace(nano, encoder=str(nano_run))
    wide = replace(nano, model=replace(MODEL, hidden_size=64))
    with pytest.raises(ConfigError, match=r"model.hidden_size = 64, but .* has 32"):
        pretrain.main(wide)
    deep = replace(nano, model=replace(MODEL, hidden_size=64, num_hidden_layers=3))
    with pytest.raises(ConfigError, match=r"--model.hidden-size 32 --model.num-hidden-layers 2$"):
        pretrain.main(deep)
    with monkeypatch.context() as patch:
        other = Tokenizer([*SPECIAL_TOKENS, "other"])
        saved = pretrain.read_model(nano_run)._replace(tokenizer=other)
        patch.setattr(pretrain, "read_model", lambda directory, labels: saved)
        with pytest.raises(ConfigError, match="a different vocabulary or casing from"):
            pretrain.main(nano)
    assert not Path(nano.runs_dir).exists()


def test_a_corrupted_checkpoint_is_set_aside_and_the_one_before_is_used(
    finished, uninterrupted, capsys
):
    folder = Path(finished.runs_dir) / "nano" / "checkpoints"
    victim = max((folder / "10").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    assert pretrain.main(finished) == 0
    printed = capsys.readouterr().out
    assert "checkpoint 10 is bad" in printed
    assert "2 steps are lost" in printed
    assert_same_bits(final_state(finished), uninterrupted)


def test_phases_of_one_length_never_show_the_same_rows_again(nano):
    """The later phase continues in the same order and epoch, also when resumed in its middle."""
    phases = (Phase(32, 8, 0.5), Phase(64, 8, 0.2), Phase(32, 16, 0.3))
    spans = phase_spans(replace(nano, phases=phases, loop=LoopConfig(steps=20)))
    data = PreparedData(nano.data)
    rows = {length: data.rows(length) for length in (32, 64)}
    batches = list(phase_batches(spans, rows, seed=0, start=0, process=(0, 1)))
    at_32 = batches[:10] + batches[14:]
    whole = list(pretraining_batches(rows[32], 8, seed=0, num_steps=22))
    for name in ("row", "epoch"):
        ours = np.concatenate([batch[name] for batch in at_32])
        np.testing.assert_array_equal(ours, np.concatenate([batch[name] for batch in whole]))
    resumed = next(phase_batches(spans, rows, seed=0, start=17, process=(0, 1)))
    np.testing.assert_array_equal(resumed["row"], batches[17]["row"])


def no_compilation(*args):
    raise AssertionError("something was compiled")


def only_traced(function, **options):
    """Replace `jax.jit`: allow calls for shapes, fail on calls with arrays, which would compile."""

    def call(*args):
        if not isinstance(jnp.zeros(()), jax.core.Tracer):  # not under `jax.eval_shape`
            no_compilation()
        return function(*args)

    return call


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, model=replace(c.model, num_hidden_layers=3)),
         r"model.num_hidden_layers \(saved 2, given 3\)"),
        (lambda c: replace(c, optimizer=replace(c.optimizer, learning_rate=2e-3)),
         r"optimizer.learning_rate \(saved 0.001, given 0.002\)"),
        (lambda c: replace(c, seed=5), r"seed \(saved 0, given 5\)"),
    ],
)  # fmt: skip
def test_a_changed_configuration_is_refused_before_compiling(
    finished, monkeypatch, change, message
):
    before = (Path(finished.runs_dir) / "nano" / "config.json").read_text()
    monkeypatch.setattr(jax, "jit", only_traced)
    with pytest.raises(ConfigError, match=message):
        pretrain.main(change(finished))
    assert (Path(finished.runs_dir) / "nano" / "config.json").read_text() == before


def test_other_data_and_another_vocabulary_are_refused(finished, tmp_path):
    text = write_corpus(tmp_path / "other.txt", seed=7)
    rows = str(tmp_path / "rows")
    prepare.main(PrepareConfig(
        inputs=(str(text),), output=rows, lengths=(32, 64), vocab_size=150, eval_share=0.1,
        workers=1,
    ))  # fmt: skip
    with pytest.raises(ConfigError, match=r"data \(saved [0-9a-f]{64}, given [0-9a-f]{64}\)"):
        pretrain.main(replace(finished, data=rows))


def test_a_vocabulary_larger_than_the_model_is_refused(nano):
    small = replace(nano, model=replace(nano.model, vocab_size=20))
    with pytest.raises(ConfigError, match=r"vocab_size = 20 is smaller than the tokenizer's"):
        pretrain.main(small)


def test_all_lengths_that_were_not_prepared_are_refused_at_the_start(nano, monkeypatch):
    monkeypatch.setattr("pretrain.fit", no_compilation)
    late = (Phase(32, 16, share=0.9), Phase(56, 8, share=0.05), Phase(48, 8, share=0.05))
    message = r"no rows of length 48, 56\n.*one of 32, 64\n.*--lengths 32 48 56 64$"
    for dry_run in False, True:
        with pytest.raises(DataError, match=message):
            pretrain.main(replace(nano, phases=late, dry_run=dry_run))


def test_data_without_held_out_rows_trains_without_evaluation(nano, tmp_path, capsys):
    text = write_corpus(tmp_path / "text.txt")
    rows = str(tmp_path / "rows")
    prepare.main(PrepareConfig(
        inputs=(str(text),), output=rows, lengths=(32,), vocab_size=150, eval_share=0.0, workers=1,
    ))  # fmt: skip
    config = replace(nano, data=rows, phases=(Phase(32, 16),), loop=replace(nano.loop, steps=5))
    assert pretrain.main(config) == 0
    assert "the run trains without evaluation" in capsys.readouterr().out
    run = Path(nano.runs_dir) / "nano"
    assert {r["split"] for r in read_metrics(run / "metrics.jsonl")} == {"train"}
    assert "held-out" not in (run / "plots" / "loss.svg").read_text()
    assert load_params(run, "best")[1]["step"] == load_params(run)[1]["step"] == 5


def test_a_length_in_epochs_is_a_number_of_steps(nano, monkeypatch, capsys):
    """So the run is the same as one of that many steps."""
    rows = PreparedData(nano.data).rows(32)
    config = replace(nano, phases=(Phase(32, 16),), epochs=0.5)
    steps = round(len(rows) / 32)
    assert pretrain.main(replace(config, dry_run=True)) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"length +{steps} steps, {steps * 16 / len(rows):.2f} epochs", printed)
    stop_after(monkeypatch, 2)
    assert pretrain.main(config) == 75
    manifest = read_manifest(Path(nano.runs_dir) / "nano" / "checkpoints", 2)
    assert manifest["identity"]["loop.steps"] == str(steps)
    assert "epochs" not in manifest["identity"]
    given = replace(nano.loop, steps=steps)
    assert pretrain.main(replace(config, epochs=None, loop=given)) == 0
    assert "from step 2\n" in capsys.readouterr().out


def test_a_length_in_both_steps_and_epochs_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "tiny", "--epochs", "2", "--steps=10"])
    assert pretrain.command_line() == 2


def test_a_diverging_run_ends_and_leaves_the_last_good_checkpoint(nano, capsys):
    wild = replace(
        nano,
        optimizer=replace(nano.optimizer, learning_rate=1e30, warmup_steps=0),
        loop=replace(nano.loop, max_bad_steps=3, checkpoint_every=1, eval_every=100),
        phases=(Phase(length=32, batch_size=16),),
    )
    with pytest.raises(DivergedError, match="3 steps in a row"):
        pretrain.main(wild)
    assert DivergedError.exit_code == 5
    params, _, _ = load_params(Path(wild.runs_dir) / "nano")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_a_save_in_progress_is_finished_when_the_run_is_interrupted(nano, monkeypatch):
    assert interrupt_while_saving(pretrain, nano, monkeypatch) == 1


def run_script(config, *extra):
    """Start pretrain.py in a process of its own, on one device, with a configuration's values."""
    options = [
        f"--data={config.data}", f"--runs-dir={config.runs_dir}", "--name=script",
        "--steps=200", "--log-every=1", "--eval-every=200", "--checkpoint-every=200",
        "--model.hidden-size=32", "--model.intermediate-size=64", "--phases.0.batch-size=16",
        "--phases.0.length=32", "--eval-rows=16",
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "pretrain.py", "demo", *options, *extra],
        cwd=ROOT, env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_sigterm_saves_and_exits_75_and_the_same_command_resumes(nano):
    process = run_script(nano)
    metrics = Path(nano.runs_dir) / "script" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    saved = int(output.split("saved step ")[1].split(";")[0])
    process = run_script(nano)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"from step {saved:,}" in output
    assert 0 < saved < 200
    assert "done: 200 steps" in output


def test_a_user_error_is_three_lines_and_its_exit_code(nano):
    process = run_script(nano, "--data=nowhere")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 3
    lines = output.strip().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["error", "expected", "fix"]


def test_a_closed_pipe_ends_the_script_without_a_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "pretrain.py", "demo", "--help"]
    process = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert process.returncode == 141
    assert process.stderr == "stopped: the output was closed by its reader\n"


def test_dry_run_prints_the_plan_and_allocates_nothing(nano, capsys):
    assert pretrain.main(replace(nano, dry_run=True)) == 0
    printed = capsys.readouterr().out
    for text in ("parameters", "tokens per step   512", "steps per epoch", "collectives: 1 all-"):
        assert text in printed
    for program in ("training step", "evaluation"):
        for rows in ("16 rows of 32 tokens", "8 rows of 64 tokens"):
            assert f"{program}, {rows}: fits: 0.00 of " in printed
    assert not Path(nano.runs_dir).exists()


def test_the_run_directory_holds_what_it_should(nano_run, prepared):
    run = nano_run
    files = """config.json command.txt environment.json metrics.jsonl train.log plots/loss.svg
        tokenizer/vocab.txt checkpoints/10.manifest.json"""
    assert [name for name in files.split() if not (run / name).is_file()] == []
    manifest = json.loads((run / "checkpoints/10.manifest.json").read_text())
    assert manifest["identity"]["model.hidden_size"] == "32"
    evals = [x for x in read_metrics(run / "metrics.jsonl") if x["split"] == "eval"]
    data = PreparedData(prepared)
    majority = [data.nsp_majority(length) for length in (32, 64)]  # one for each evaluation's rows
    assert [x["nsp_majority"] for x in evals] == majority
    assert majority[0] != majority[1]
    # The best checkpoint is of the last length, whatever the losses: until then, later positions
    # are untrained.
    extras = [read_manifest(run / "checkpoints", step)["extra"] for step in (8, 10)]
    assert [x["metric"] for x in extras] == [None, [-1, evals[1]["loss"]]]


PAIR = """
import os, sys
from dataclasses import replace
import jax
import pretrain
from bert_jax.config import PretrainConfig, read_json
from pathlib import Path
config = read_json(PretrainConfig, Path(sys.argv[1]))
sys.exit(pretrain.main(config))
"""


def run_pair(config):
    """Run a configuration in two processes of four devices each, over loopback."""
    config = replace(config, name="pair", distributed=True)
    path = Path(config.runs_dir).parent / "pair.json"
    path.write_text(to_json(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, str(path)], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_COORDINATOR_ADDRESS": address,
                 "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(number)},
        )
        for number in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()


@pytest.mark.heavy
def test_two_processes_of_four_devices_train_as_one_of_eight(nano, uninterrupted):
    run_pair(nano)
    params, losses = final_state(replace(nano, name="pair"))
    for (_, _, a), (_, _, b) in zip(losses, uninterrupted[1], strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-5)
    for a, b in zip(params, uninterrupted[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.heavy
def test_it_learns(nano):
    config = replace(
        nano,
        model=replace(MODEL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=50),
        phases=(Phase(length=32, batch_size=64),),
        loop=LoopConfig(steps=1000, log_every=100, eval_every=1000, checkpoint_every=1000),
        eval_rows=128,
    )
    assert pretrain.main(config) == 0
    last = read_metrics(Path(config.runs_dir) / "nano" / "metrics.jsonl")[-1]
    report = json.loads((Path(config.data) / "report.json").read_text())
    assert last["mlm_loss"] < 0.5 * report["unigram_entropy"]
