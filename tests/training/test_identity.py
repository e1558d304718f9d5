"""Identities of runs: what their checkpoints, their processes and their config.json agree on."""

import dataclasses
from pathlib import Path

import pytest

from bert_jax.config import BertConfig, LoopConfig, MayDiffer, default_identity, resume_identity
from bert_jax.errors import ConfigError
from bert_jax.training.identity import (
    ResumeRules,
    job_identity,
    require_same_run,
    require_saved_model,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration with a path, and with fields that may differ on resume."""

    model: BertConfig
    loop: LoopConfig
    data: MayDiffer[str] = "/mnt/data"
    eval_rows: MayDiffer[int] = 8


CONFIG = Config(BertConfig(vocab_size=100), LoopConfig(10))


def test_the_processes_agree_on_all_options_but_paths_and_on_versions_and_hashes():
    names = job_identity(CONFIG, {"data": "hash"})
    assert (names["eval_rows"], names["loop.eval_every"], names["data"]) == ("8", "1000", "hash")
    assert names["version of jax"]
    assert job_identity(dataclasses.replace(CONFIG, data="/home/me"), {}) == job_identity(
        CONFIG, {}
    )
    assert job_identity(dataclasses.replace(CONFIG, eval_rows=9), {}) != job_identity(CONFIG, {})


def test_another_run_is_refused_with_the_advice_of_the_script():
    require_same_run("checkpoint 1", {"a": "1", "old": "x"}, {"a": "1"}, ResumeRules({"old"}))
    with pytest.raises(ConfigError, match=r"checkpoint 1 comes.*a \(saved 1, given 2\)\n(.|\n)*go"):
        require_same_run("checkpoint 1", {"a": "1"}, {"a": "2"}, ResumeRules(advice="go elsewhere"))


def test_a_field_that_an_older_run_did_not_have_has_its_default():
    given, older = resume_identity(CONFIG), dict(resume_identity(CONFIG))
    del older["model.hidden_act"]
    rules = ResumeRules(defaults=default_identity(CONFIG))
    require_same_run("checkpoint 1", older, given, rules)
    edited = {**given, "model.hidden_act": '"relu"'}
    with pytest.raises(ConfigError, match=r'hidden_act \(saved "gelu", given "relu"\)'):
        require_same_run("checkpoint 1", older, edited, rules)
    del older["loop.steps"]  # has no default
    with pytest.raises(ConfigError, match=r"loop.steps \(saved \(absent\), given 10\)"):
        require_same_run("checkpoint 1", older, given, rules)


def test_an_edited_config_json_is_refused_with_both_values():
    path = Path("runs/x/config.json")
    identity = resume_identity(CONFIG)
    older = {k: v for k, v in identity.items() if k != "model.hidden_act"}  # before it existed
    edited = dataclasses.replace(CONFIG.model, hidden_act="relu")
    for saved in identity, older:
        require_saved_model(path, CONFIG.model, saved)
        message = r'runs/x/config.json .*: model.hidden_act = "relu", but the checkpoint has "gelu"'
        with pytest.raises(ConfigError, match=message):
            require_saved_model(path, edited, saved)
