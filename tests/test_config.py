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
    default_identity,
    flatten,
    from_dict,
    length_changes,
    phase_at,
    phase_spans,
    read_json,
    resume_identity,
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
        (lambda: MaskingConfig(final_rate=0.6), "masking.final_rate = 0.6"),
        (lambda: MaskingConfig(eval_rate=0.0), "masking.eval_rate = 0.0"),
        (lambda: MaskingConfig(mask_share=0.8, random_share=0.3), "mask_share"),
        (lambda: OptimizerConfig(learning_rate=0), "learning_rate = 0"),
        (lambda: OptimizerConfig(clip_norm=-1), "clip_norm = -1"),
        (lambda: OptimizerConfig(muon_learning_rate=0), "muon_learning_rate = 0"),
        (lambda: OptimizerConfig(muon_momentum=1.0), "muon_momentum = 1.0"),
        (lambda: Phase(length=2), "phase.length = 2"),
        (lambda: Phase(share=0), "phase.share = 0"),
        (lambda: OptimizerConfig(decay_share=1.0), "decay_share = 1.0"),
        (lambda: LoopConfig(steps=0), "steps = 0"),
        (lambda: LoopConfig(steps=9, keep_every=1500), r"keep_every = 1500.*\n.*every 1000"),
        (lambda: LoopConfig(steps=9, keep_every=0), "keep_every = 0"),
        (lambda: nano(decay_from=0), "decay_from = 0"),
        (lambda: nano(epochs=0), "epochs = 0"),
        (lambda: nano(epochs=float("nan")), "epochs = nan"),
        (lambda: nano(budget="soon"), "--budget soon is no duration"),
        (lambda: nano(budget="3h", epochs=2.0), "both --budget and --epochs"),
        (lambda: nano(decay_steps=100), "--decay-steps 100 is given without --decay-from"),
        (lambda: nano(budget="3h", decay_from=100), "both --budget and --decay-from"),
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


def test_the_mask_rate_changes_linearly_from_the_first_step_to_the_last():
    falling = MaskingConfig(rate=0.3, final_rate=0.15, whole_word=True)
    rates = [falling.at(step, 4).rate for step in range(4)]
    assert rates == pytest.approx([0.3, 0.25, 0.2, 0.15])
    assert falling.at(2, 4) == MaskingConfig(rate=rates[2], whole_word=True)
    assert falling.at(0, 1).rate == 0.3
    assert MaskingConfig(rate=0.4, eval_rate=0.15).at(3, 4) == MaskingConfig(rate=0.4)


@pytest.mark.parametrize(
    ("masking", "rate"),
    [
        (MaskingConfig(rate=0.3), 0.3),
        (MaskingConfig(rate=0.3, final_rate=0.2), 0.2),
        (MaskingConfig(rate=0.3, final_rate=0.2, eval_rate=0.15), 0.15),
    ],
)
def test_evaluations_mask_at_their_own_rate_or_that_of_the_last_step(masking, rate):
    assert masking.in_evaluation == MaskingConfig(rate=rate)


def test_a_run_begun_before_the_mask_rate_could_change_still_resumes():
    identity, defaults = resume_identity(nano()), default_identity(nano())
    assert identity["masking.final_rate"] == defaults["masking.final_rate"] == "null"
    assert identity["nsp"] == defaults["nsp"] == "null"
    assert "masking.eval_rate" not in identity


def test_nsp_is_open_where_it_says_what_the_rows_have_and_refused_where_they_cannot():
    resolved = [(nsp, rows, nano(nsp=nsp).with_nsp(rows).nsp)
                for nsp, rows in ((None, True), (None, False), (True, True), (False, True),
                                  (False, False))]  # fmt: skip
    assert resolved == [
        (None, True, None), (None, False, None), (True, True, None), (False, True, False),
        (False, False, None),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"--nsp True, but x was prepared .*\n.*\n.*leave out"):
        nano(nsp=True).with_nsp(False)


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
