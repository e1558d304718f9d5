"""Configurations: validation, JSON round trips, unknown fields, phases."""

import dataclasses
import json

import pytest

from bert_jax.config import (
    BertConfig,
    FinetuneConfig,
    LoopConfig,
    MaskingConfig,
    OptimizerConfig,
    Phase,
    PrepareConfig,
    PretrainConfig,
    flatten,
    from_dict,
    length_changes,
    phase_at,
    phase_spans,
    read_json,
    rows_read,
    to_json,
)
from bert_jax.errors import ConfigError
from configs.pretrain import RUNS


@pytest.mark.parametrize("name", RUNS)
def test_every_run_survives_json(name):
    config = RUNS[name]()
    assert from_dict(PretrainConfig, json.loads(to_json(config))) == config


@pytest.mark.parametrize("name", RUNS)
def test_every_run_and_every_field_is_documented(name):
    assert RUNS[name].__doc__


def test_base_original_is_the_paper_s_run():
    config = RUNS["base_original"]()
    spans = [(s.start, s.stop, s.phase.length, s.phase.batch_size) for s in phase_spans(config)]
    assert spans == [(0, 900_000, 128, 256), (900_000, 1_000_000, 512, 256)]
    assert config.optimizer == OptimizerConfig("original", 1e-4, 10_000, weight_decay=0.01)
    assert config.model == BertConfig()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BertConfig(num_attention_heads=7), "num_attention_heads = 7"),
        (lambda: BertConfig(hidden_size=-1), "hidden_size = -1"),
        (lambda: BertConfig(vocab_size=0), "vocab_size = 0"),
        (lambda: BertConfig(hidden_dropout_prob=1.0), "hidden_dropout_prob = 1.0"),
        (lambda: BertConfig(hidden_act="swish"), "hidden_act = 'swish'"),
        (lambda: MaskingConfig(rate=0), "masking.rate = 0"),
        (lambda: MaskingConfig(mask_share=0.8, random_share=0.3), "mask_share"),
        (lambda: OptimizerConfig(learning_rate=0), "learning_rate = 0"),
        (lambda: OptimizerConfig(clip_norm=-1), "clip_norm = -1"),
        (lambda: Phase(length=2), "phase.length = 2"),
        (lambda: Phase(share=0), "phase.share = 0"),
        (lambda: LoopConfig(steps=0), "steps = 0"),
        (lambda: nano(epochs=0), "epochs = 0"),
        (lambda: nano(epochs=float("nan")), "epochs = nan"),
        (lambda: nano(encoder="a", extend_from="b"), "both --encoder and --extend-from"),
        (lambda: Phase(batch_size=0), r"phase.batch_size = 0 is invalid\n.*at least 1"),
        (lambda: FinetuneConfig("regression", "", "", "", patience=0), "patience = 0"),
        (lambda: PrepareConfig(("t",), "x", lengths=(8,)), "lengths = 8"),
        (lambda: PrepareConfig(("t",), "x", eval_share=1), "eval_share = 1"),
        (lambda: PrepareConfig(("t",), "x", max_sequences=-1), "max_sequences = -1"),
    ],
)
def test_invalid_values_are_refused_by_name(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def nano(**changes):
    values = {
        "data": "x",
        "model": BertConfig(),
        "optimizer": OptimizerConfig(),
        "loop": LoopConfig(steps=10),
    }
    return PretrainConfig(**{**values, **changes})


def test_phases_must_add_up_and_fit_the_positions():
    with pytest.raises(ConfigError, match=r"sum of phases' share = 0\.5"):
        nano(phases=(Phase(share=0.5),))
    with pytest.raises(ConfigError, match=r"length = 1024 .*\n.*at most 512 positions"):
        nano(phases=(Phase(length=1024),))


def test_only_another_length_counts_as_a_change():
    lengths = (16, 16, 32, 16)
    spans = phase_spans(nano(phases=tuple(Phase(length=t, share=0.25) for t in lengths)))
    stops = [span.stop for span in spans]
    assert [length_changes(spans, step) for step in (1, *stops)] == [0, 0, 0, 1, 2]
    assert length_changes(spans, stops[1] + 1) == 1


def test_phases_cover_every_step_once():
    config = nano(phases=tuple(Phase(length=16, share=s) for s in (0.25, 0.35, 0.4)))
    spans = phase_spans(config)
    assert [(s.start, s.stop) for s in spans] == [(0, 2), (2, 6), (6, 10)]
    assert [phase_at(spans, step) for step in (1, 2, 3, 10)] == [
        spans[0].phase, spans[0].phase, spans[1].phase, spans[2].phase,
    ]  # fmt: skip


def test_unknown_fields_are_refused_with_the_nearest_name():
    values = json.loads(to_json(nano()))
    values["model"]["hiden_size"] = 3
    with pytest.raises(ConfigError, match=r"unknown field 'hiden_size'(.|\n)*'hidden_size'"):
        from_dict(PretrainConfig, values)


def test_a_file_that_is_no_configuration_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        read_json(PretrainConfig, path)


def test_epochs_are_passes_over_the_text_summed_over_the_phases():
    phases = (Phase(length=32, batch_size=10, share=0.5), Phase(length=64, batch_size=5, share=0.5))
    num_rows = {32: 1000, 64: 500}
    config = nano(phases=phases, epochs=2.0)
    assert config.epochs_per_step(num_rows) == pytest.approx(0.01)
    assert config.with_steps(num_rows).loop.steps == 200
    assert nano(phases=phases).with_steps(num_rows) == nano(phases=phases)
    assert nano(phases=phases, epochs=1e-5).with_steps(num_rows).loop.steps == 1


def test_rows_that_were_read_are_counted_by_length_up_to_a_step():
    phases = (Phase(32, 10, 0.4), Phase(64, 5, 0.2), Phase(32, 20, 0.4))
    spans = phase_spans(nano(phases=phases, loop=LoopConfig(steps=10)))
    reads = [rows_read(spans, step) for step in (0, 3, 5, 10, 99)]
    assert reads == [
        {32: 0, 64: 0}, {32: 30, 64: 0}, {32: 40, 64: 5}, {32: 120, 64: 10}, {32: 120, 64: 10},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values["loop"].pop("steps"), r"missing 1 required.*'steps'"),
        (lambda values: values["optimizer"].update(learning_rate="fast"), "not supported between"),
    ],
)
def test_a_missing_field_or_a_value_of_another_type_is_refused(change, message):
    values = json.loads(to_json(nano()))
    change(values)
    with pytest.raises(ConfigError, match=f"runs/x/config.json: .*{message}"):
        from_dict(PretrainConfig, values, "runs/x/config.json")


def test_flatten_names_every_value_once():
    flat = flatten(nano())
    assert flat["model.hidden_size"] == "768"
    assert flat["phases.0.length"] == "128"
    assert flat["model.vocab_size"] == "null"
    assert (
        len(flat)
        == sum(len(dataclasses.fields(c)) for c in (BertConfig, OptimizerConfig, LoopConfig, Phase))
        + len(dataclasses.fields(MaskingConfig))
        + len(dataclasses.fields(PretrainConfig))
        - 5
    )
