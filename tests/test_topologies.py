"""Pretraining compiled for machines that are absent: TPU slices, and GPUs where their wheels are.

GPUs need JAX's CUDA plugin and NVIDIA's libraries, but no driver: `make check-gpu`.
"""

import importlib.util
from dataclasses import replace
from importlib.metadata import entry_points

import jax
import pytest
from jax._src import compilation_cache

import pretrain
from bert_jax.config import Phase
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build, count_parameters
from bert_jax.reports.plan import compile_phases, read_run
from bert_jax.training.ahead import (
    Program,
    compile_ahead,
    read_collectives,
    read_custom_calls,
    read_host_calls,
)
from bert_jax.training.machine import absent_machine
from bert_jax.training.parallel import DataParallel
from configs.pretrain import RUNS

needs_tpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)
needs_cuda = pytest.mark.skipif(
    not {plugin.name for plugin in entry_points(group="jax_plugins")}
    & {"xla_cuda12", "xla_cuda13"},
    reason="JAX's CUDA plugin is not installed (make check-gpu)",
)


@pytest.fixture(autouse=True)
def usual_flags(monkeypatch):
    """Compile with XLA's own settings: those of the other tests save time, not memory."""
    monkeypatch.setenv("XLA_FLAGS", "")


@needs_tpu
def test_programs_of_absent_machines_stay_out_of_the_cache(tmp_path, monkeypatch):
    writes = []
    monkeypatch.setattr(compilation_cache, "put_executable_and_time", lambda *x: writes.append(x))
    before = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        machine = absent_machine("v5e:2x4")
        parallel = DataParallel(devices=machine.devices)
        sharded = parallel.shard(lambda state, batch: (state + batch.sum(), {}))
        shapes = jax.ShapeDtypeStruct((3,), "float32"), jax.ShapeDtypeStruct((16, 2), "float32")
        shapes = parallel.state_shapes(shapes[0]), parallel.batch_shapes(shapes[1])
        for _ in range(2):
            assert compile_ahead(Program("step", sharded, shapes), machine).fits
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before)
    assert writes == []


def compile_for(config, topology):
    """Return the number of parameters, the training steps and the evaluations, compiled."""
    run = read_run(config, 0)
    name = "BertForPreTraining" if run.nsp else "BertForMaskedLM"
    parameters = jax.eval_shape(build(run.config.model, architecture(name))[0], jax.random.key(0))
    _, programs = compile_phases(run, absent_machine(topology))
    assert programs.fit
    return count_parameters(parameters), *zip(*programs.phases, strict=True)


def check_program(compilation):
    """Check that a program communicates in few, large sums, and never waits for the host."""
    text = compilation.executable.as_text()
    assert read_host_calls(text) == []
    collectives = read_collectives(text)
    assert set(collectives.counts) <= {"all-reduce"}
    assert collectives.counts.get("all-reduce", 0) <= 8
    return collectives


@needs_tpu
def test_a_small_model_on_a_tpu_slice(tmp_path):
    config = replace(RUNS["tiny"](), data=str(tmp_path), phases=(Phase(128, 32),))
    num_parameters, (step,), (evaluation,) = compile_for(config, "v5e:2x4")
    # Parameters and two moments in float32, or one moment of the matrices that Muon updates.
    assert 4 * 2 * num_parameters < step.arguments < 4 * 3.2 * num_parameters
    assert step.memory < 0.2e9
    assert evaluation.memory < 0.1e9
    gradients = check_program(step)
    assert 4 * num_parameters <= gradients.num_bytes < 4 * 1.05 * num_parameters
    assert check_program(evaluation).num_bytes < 1000


@needs_tpu
def test_gradients_summed_in_bfloat16_are_half_the_bytes(tmp_path):
    config = replace(
        RUNS["tiny"](), data=str(tmp_path), phases=(Phase(32, 32),), gradient_dtype="bfloat16"
    )
    num_parameters, (step,), _ = compile_for(config, "v5e:2x4")
    assert check_program(step).num_bytes < 2 * 1.05 * num_parameters


@needs_tpu
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "topology"),
    [(name, "v5e:2x4") for name in sorted(RUNS)] + [("base", "v4:2x2x1"), ("large", "v4:2x2x1")],
)
def test_every_preset_fits_a_tpu_slice(name, topology, tmp_path):
    config = replace(RUNS[name](), data=str(tmp_path))
    num_parameters, steps, evaluations = compile_for(config, topology)
    for step in steps:
        assert 4 * num_parameters <= check_program(step).num_bytes
    for evaluation in evaluations:
        check_program(evaluation)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(RUNS))
def test_every_preset_fits_a_gpu(name, tmp_path):
    config = replace(RUNS[name](), data=str(tmp_path))
    _, steps, _ = compile_for(config, "h100:1")
    for step in steps:
        fused = [call for call in read_custom_calls(step.executable.as_text()) if "fmha" in call]
        without_dropout = config.model.attention_probs_dropout_prob == 0
        assert bool(fused) == (without_dropout and config.dtype == "bfloat16")


@needs_cuda
@pytest.mark.gpu
def test_a_small_model_on_eight_gpus_sums_gradients_in_half_the_bytes(tmp_path):
    config = replace(
        RUNS["small"](), data=str(tmp_path), phases=(Phase(128, 64),), gradient_dtype="bfloat16"
    )
    num_parameters, (step,), _ = compile_for(config, "h100:8")
    assert 2 * num_parameters <= check_program(step).num_bytes < 2 * 1.05 * num_parameters
    assert any("fmha" in call for call in read_custom_calls(step.executable.as_text()))


@needs_tpu
@pytest.mark.heavy
def test_what_does_not_fit_exits_with_2_and_says_what_would(tmp_path, capsys):
    small = RUNS["tiny"]()
    too_long = Phase(512, 4096)
    config = replace(
        small, data=str(tmp_path), phases=(too_long,), dry_run=True, topology="v5e:1x1"
    )
    assert pretrain.main(config) == 2
    printed = capsys.readouterr().out
    assert "training step, 4096 rows of 512 tokens: DOES NOT FIT" in printed
    assert "a phase does not fit; with --accumulation-steps " in printed
