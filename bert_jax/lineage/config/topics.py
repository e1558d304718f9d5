"""Topics of the options, as `--help` groups them: the most used first, here and in each topic."""

from bert_jax.config.option_groups import Topics

TRAIN_TRANSLATOR: Topics = {
    "data": ("train", "dev", "test", "columns", "tfds_data_dir"),
    "vocabulary": ("vocabulary", "vocab_size", "lowercase"),
    "length": ("loop",),
    "batches": ("batch_tokens", "batch_size", "min_length", "source_length"),
    "scores and search": ("metric", "bleu_tokenize", "eval_pairs", "search"),
    "run": ("name", "runs_dir", "seed", "tensorboard", "wandb", "allow_unverified"),
    "machine": ("dtype", "attention", "parallel", "distributed", "dry_run", "topology"),
    "objective and model": ("label_smoothing", "optimizer", "model"),
}

COPYTASK: Topics = {
    "length": ("batch_size", "loop", "converged_bits", "steps_after"),
    "evaluation": (
        "eval_sizes", "eval_repeats", "eval_sequences", "criterion_sizes", "criterion_sequences",
    ),
    "run": ("name", "runs_dir", "seed", "tensorboard", "wandb", "allow_unverified"),
    "machine": ("num_devices", "parallel"),
    "task and model": ("task", "model", "optimizer"),
}  # fmt: skip
