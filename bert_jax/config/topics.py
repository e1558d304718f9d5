"""Topics of the options, as `--help` groups them: the most used first, here and in each topic."""

from bert_jax.config.option_groups import Topics

PREPARE: Topics = {
    "text": ("inputs", "output", "documents", "text_column", "encoding", "tfds_data_dir"),
    "vocabulary": (
        "vocab_size", "tokenizer", "vocab", "lowercase", "strip_accents", "add_tokens",
        "max_word_length",
    ),
    "rows": (
        "lengths", "nsp", "sentences", "language", "eval_share", "dupe_factor", "short_seq_prob",
        "pack", "max_sequences", "seed",
    ),
    "work": ("workers", "bundle_mb"),
}  # fmt: skip

_RUN = ("name", "runs_dir", "seed", "tensorboard", "wandb", "allow_unverified")

PRETRAIN: Topics = {
    "data": ("data", "eval_rows"),
    "length": ("epochs", "budget", "loop"),
    "start": (
        "encoder", "extend_from", "decay_from", "decay_steps", "embedding_start", "kernel_start",
        "zero_outputs",
    ),
    "run": _RUN,
    "machine": (
        "dtype", "accumulation_steps", "remat", "attention", "distributed", "dry_run", "topology",
        "gradient_dtype", "matmul_precision", "deterministic", "unroll", "parallel",
        "vocab_multiple",
    ),
    "objective and model": ("nsp", "phases", "masking", "optimizer", "model"),
}  # fmt: skip

FINETUNE: Topics = {
    "data": (
        "encoder", "train", "dev", "test", "task", "labels", "label_separator", "max_length",
        "stride", "max_rejected", "tfds_data_dir", "columns",
    ),
    "training": (
        "epochs", "learning_rate", "batch_size", "dropout", "attention_dropout", "word_dropout",
        "class_weights", "warmup_share", "weight_decay", "clip_norm", "from_scratch",
    ),
    "selection": (
        "metric", "seeds", "search", "patience", "evals_per_epoch", "eval_batch_size", "grid",
    ),
    "run": (*_RUN, "log_every", "profile_steps"),
    "machine": (
        "dtype", "attention", "distributed", "dry_run", "topology", "matmul_precision",
        "deterministic", "parallel",
    ),
}  # fmt: skip
