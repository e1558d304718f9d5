"""Fields that may differ on resume, as declared with each field."""

import json
from dataclasses import replace

from bert_jax.config import fields_that_may_differ, from_dict, resume_identity, to_json
from bert_jax.lineage.config import CopyTaskConfig
from configs.copytask import RUNS as COPYING
from configs.finetune import RUNS as FINETUNING
from configs.pretrain import RUNS as PRETRAINING
from configs.train_translator import RUNS as TRANSLATION

LOOP = {
    "log_every", "eval_every", "checkpoint_every", "keep_last", "keep_every", "max_bad_steps",
    "profile_steps", "watchdog_seconds",
}  # fmt: skip


def test_pretraining():
    assert fields_that_may_differ(PRETRAINING["base"]()) == {f"loop.{name}" for name in LOOP} | {
        "accumulation_steps", "allow_unverified", "attention", "budget", "data", "decay_from",
        "decay_steps", "deterministic", "distributed", "dry_run", "encoder", "epochs", "eval_rows",
        "extend_from", "masking.eval_rate", "matmul_precision",
        "model.classifier_dropout", "name", "parallel", "remat", "runs_dir", "tensorboard",
        "topology", "unroll", "wandb",
    }  # fmt: skip


def test_fine_tuning():
    grid = {"dropout", "epochs", "learning_rate", "train_limit", "word_dropout"}
    assert fields_that_may_differ(FINETUNING["nsmc"]()) == {f"grid.{name}" for name in grid} | {
        "allow_unverified", "attention", "columns.label", "columns.text", "columns.text_b",
        "deterministic", "dev", "distributed", "dry_run", "encoder", "eval_batch_size",
        "evals_per_epoch", "label_separator", "log_every", "matmul_precision", "max_rejected",
        "name", "parallel", "profile_steps", "runs_dir", "search",
        "seeds", "tensorboard", "test", "tfds_data_dir", "topology", "train", "wandb",
    }  # fmt: skip


def test_translation():
    """But for `eval_pairs`, which decides which checkpoint is best."""
    search = {"coverage_penalty", "extra_tokens", "length_penalty", "num_beams"}
    expected = {f"loop.{name}" for name in LOOP} | {f"search.{name}" for name in search}
    assert fields_that_may_differ(TRANSLATION["dates"]()) == expected | {
        "allow_unverified", "attention", "columns", "dev", "distributed", "dry_run", "name",
        "parallel", "runs_dir", "tensorboard", "test", "tfds_data_dir", "topology", "train",
        "wandb",
    }  # fmt: skip


def test_copying():
    assert fields_that_may_differ(COPYING["copy"]()) == {f"loop.{name}" for name in LOOP} | {
        "allow_unverified", "eval_repeats", "eval_sequences", "eval_sizes", "name", "num_devices",
        "parallel", "runs_dir", "steps_after", "tensorboard", "wandb",
    }  # fmt: skip


def test_the_identity_is_what_may_not_differ():
    config = PRETRAINING["tiny"]()
    identity = resume_identity(config)
    assert (identity["seed"], identity["model.hidden_size"]) == ("0", "128")
    assert resume_identity(replace(config, remat=True, name="other")) == identity
    assert resume_identity(replace(config, seed=1)) == {**identity, "seed": "1"}


def test_a_declared_field_is_still_checked_and_converted():
    values = json.loads(to_json(COPYING["copy"]()))
    config = from_dict(CopyTaskConfig, {**values, "eval_sizes": [10, 20]})
    assert config.eval_sizes == (10, 20)  # MayDiffer[tuple[int, ...]], from JSON's list
    assert from_dict(CopyTaskConfig, values) == COPYING["copy"]()
