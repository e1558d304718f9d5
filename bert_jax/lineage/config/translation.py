"""Configurations of `train_translator.py` and of the search for translations."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require, require_at_least, require_dry_run, require_name
from bert_jax.config.resume import MayDiffer
from bert_jax.config.training import LoopConfig, OptimizerConfig
from bert_jax.lineage.config.models import TranslationModelConfig


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Beam search for translations."""

    num_beams: int = 1
    """Hypotheses kept at every step; 1 is greedy search."""
    length_penalty: float = 0.6
    """α of ((5 + |Y|) / 6)^α, by which log P is divided (Wu et al. 2016, equation 14)."""
    coverage_penalty: float = 0.0
    """β, the penalty for source tokens with little attention (the same equation)."""
    extra_tokens: int = 50
    """Most tokens by which a translation may exceed its source."""

    def __post_init__(self):
        require_at_least(self, 1, "num_beams", "extra_tokens")
        require_at_least(self, 0, "length_penalty", "coverage_penalty")


@dataclasses.dataclass(frozen=True)
class TrainTranslatorConfig:
    """One translation run."""

    model: Annotated[TranslationModelConfig, tyro.conf.AvoidSubcommands]
    """Architecture of the model."""
    train: MayDiffer[tuple[str, ...]]
    """Training pairs: two files, source and target, line by line; or one file with both: .tsv,
    .csv, .jsonl, .parquet, tfds:NAME:SPLIT, or a .txt file of question_answer lines."""
    dev: MayDiffer[tuple[str, ...]]
    """Held-out pairs that select the best checkpoint."""
    optimizer: OptimizerConfig
    """Optimizer and learning-rate schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Number of steps; intervals of logging, evaluation and checkpoints."""
    test: MayDiffer[tuple[str, ...]] = ()
    """Test pairs, used only at the end."""
    columns: MayDiffer[tuple[str, ...]] = ()
    """Columns of source and target in tables; empty: the first two."""
    vocabulary: Literal["subwords", "characters"] = "subwords"
    """Unit of the vocabulary, which is built from both sides of the training pairs."""
    vocab_size: int = 10_000
    """Size of the subword vocabulary to train; it sets model.vocab_size. Characters ignore it."""
    lowercase: bool = False
    """Lower-case all text."""
    batch_tokens: int | None = 4096
    """Tokens per step, padding included, on the longer side and over all devices."""
    batch_size: int | None = None
    """Pairs per step, instead of batch_tokens."""
    min_length: int = 8
    """Shorter pairs share the batches of this length; raise it if pairs are few or short: each
    length is compiled."""
    source_length: int = 1
    """Pad shorter sources to this length with end symbols, which the model reads (toy data)."""
    label_smoothing: float = 0.1
    """Share of the probability that is spread over the vocabulary (Szegedy et al. 2016)."""
    metric: Literal["bleu", "exact"] = "bleu"
    """Score that selects the best checkpoint: BLEU, or the share of exact translations."""
    bleu_tokenize: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """Tokenizer of sacrebleu; "none" for text that is tokenized already."""
    eval_pairs: int = 500
    """Held-out pairs that each evaluation translates, greedily."""
    search: MayDiffer[SearchConfig] = SearchConfig()
    """Search settings for the test set, and defaults of translate.py."""
    name: MayDiffer[str] = ""
    """Name of the run; empty: the configuration's name."""
    runs_dir: MayDiffer[str] = "runs"
    """Folder of all runs; this one is stored in runs_dir/name."""
    seed: int = 0
    """Seed of the weights, the order of the data and dropout."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the Transformer's matrix products; parameters, softmax, layer norm and losses are
    always float32, as is all of an LSTM."""
    attention: MayDiffer[Literal["auto", "xla", "cudnn"]] = "auto"
    """The Transformer's attention kernel; "auto": cuDNN on GPUs where supported, else XLA."""
    parallel: MayDiffer[Literal["shard_map", "pmap"]] = "shard_map"
    """JAX transform that runs the step on several devices; the results are the same."""
    tfds_data_dir: MayDiffer[str | None] = None
    """Folder of TFDS data sets. None: TFDS's default (the variable TFDS_DATA_DIR)."""
    tensorboard: MayDiffer[bool] = False
    """Also write TensorBoard files (needs the [track] extra)."""
    wandb: MayDiffer[str | None] = None
    """Also send the metrics to this project of Weights & Biases (needs the [track] extra)."""
    distributed: MayDiffer[bool] = False
    """Join the other processes of this job. Slurm, MPI, Kubernetes and TPU pods are detected;
    elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    allow_unverified: MayDiffer[bool] = False
    """Resume from a checkpoint even if its manifest, with the files' hashes, is missing."""
    dry_run: MayDiffer[bool] = False
    """Read the pairs, compile training, evaluation and search for the largest batches, print the
    memory, and exit; with 2 if they do not fit."""
    topology: MayDiffer[str | None] = None
    """With --dry-run: machine to compile for in place of this one, such as v5e:2x4 or h100:1."""

    def __post_init__(self):
        require_name(self.name)
        require_dry_run(self.topology, self.dry_run)
        has_tokens, has_size = self.batch_tokens is not None, self.batch_size is not None
        require(
            has_tokens != has_size,
            "batch_size",
            self.batch_size,
            "a number, and batch_tokens None; or None, and batch_tokens a number",
        )
        names = ("min_length", "source_length", "vocab_size", "eval_pairs")
        require_at_least(self, 1, "batch_tokens", "batch_size", *names)
        maximum = self.model.max_positions
        limit = f"at most {maximum}, the tokens that the model reads (model.max_positions)"
        require(self.source_length <= maximum, "source_length", self.source_length, limit)
        smoothing = self.label_smoothing
        require(0 <= smoothing < 1, "label_smoothing", smoothing, "a number in [0, 1)")
        require(len(self.columns) in (0, 2), "columns", self.columns, "two names, or none")
        for name in ("train", "dev", "test"):
            names = getattr(self, name)
            require(len(names) <= 2, name, names, "two files, or one with both sides")
