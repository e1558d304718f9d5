"""Convert a model to another format: `python convert.py SOURCE OUTPUT [--to FORMAT]`.

SOURCE is a run of pretrain.py or finetune.py, a Hugging Face directory, or a Google TF1 checkpoint.
Exit codes: 0 done, 2 configuration, 3 data, 4 no usable checkpoint,
130 Ctrl-C, 141 output closed by its reader.

Examples:
    python convert.py runs/tiny models/tiny
    python convert.py runs/tiny vectors/ --to sentence-transformers
    python convert.py runs/texts/model texts.onnx --to onnx
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import tyro

from bert_jax.config.command_line import next_finetuning, next_step, read_options
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.interop.google_tf import read_tf_checkpoint
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.interop.manifest import METADATA_FILE
from bert_jax.interop.onnx import write_onnx
from bert_jax.interop.stablehlo import write_stablehlo
from bert_jax.interop.weights import WeightsDtype
from bert_jax.models.architectures import ARCHITECTURES, ENCODERS, architecture_of, with_encoder
from bert_jax.models.functional import count_parameters
from bert_jax.models.new_rows import keep_rows
from bert_jax.models.pooling import SentencePooling
from bert_jax.pretrained import read_model
from bert_jax.progress import Progress
from bert_jax.remote.addresses import is_address
from bert_jax.remote.reading import fetch_name
from bert_jax.remote.writing import local_output
from bert_jax.tokenizer.first_tokens import keep_first_tokens
from bert_jax.tokenizer.rules import Casing

TOPICS = {
    "model and output": ("source", "output", "to", "architecture", "which", "dtype"),
    "vectors of texts": ("pooling", "normalize"),
    "other tokens and labels": ("vocab_size", "labels"),
    "TF1 checkpoint": ("lowercase", "strip_accents", "hidden_act"),
}


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Source, output and format of a conversion."""

    source: tyro.conf.Positional[str]
    """Run, Hugging Face directory, or TF1 checkpoint (its path without .index)."""
    output: tyro.conf.Positional[str]
    """Directory for "huggingface" and "sentence-transformers", file for the others."""
    to: Literal["huggingface", "sentence-transformers", "stablehlo", "onnx"] = "huggingface"
    """Format of the output."""
    pooling: Literal["", "mean", "cls", "max"] = ""
    """One vector for each text, pooled over all its tokens, or that of [CLS]. Empty: as SOURCE has
    it; without any, "sentence-transformers" takes the mean, the others the model's own outputs."""
    normalize: bool = False
    """Scale the vectors of --pooling to length 1."""
    architecture: str = ""
    """Part of a pretraining model to convert, such as BertModel, BertForMaskedLM or
    ModernBertModel; empty converts the whole model."""
    dtype: WeightsDtype = "float32"
    """Numbers in the file of a directory, rounded; "float16" and "bfloat16" take half the space."""
    vocab_size: int | None = None
    """Keep the first tokens of the vocabulary only; texts are cut into shorter pieces."""
    labels: tuple[str, ...] = ()
    """New names of the labels of a fine-tuned model, in the order of its config.json."""
    which: Literal["newest", "best"] = "newest"
    """Checkpoint of a pretraining run."""
    lowercase: bool = False
    """TF1 only: the vocabulary is uncased."""
    strip_accents: bool | None = None
    """TF1 only: strip accents; None strips them if lowercase is set."""
    hidden_act: Literal["", "gelu", "gelu_new", "relu"] = ""
    """TF1 only: replaces the activation of bert_config.json, whose "gelu" means "gelu_new" (tanh)
    for models trained with code since February 2019."""


def main(config: ConvertConfig) -> int:
    """Convert one model and return the exit code."""
    is_file = config.to in ("stablehlo", "onnx")
    source = fetch_name(config.source)
    with local_output(config.output, "" if is_file else METADATA_FILE) as output:
        convert(dataclasses.replace(config, source=source, output=str(output)), config.output)
    return 0


def convert(config: ConvertConfig, shown: str) -> None:
    """Convert one model on this machine; the output is shown under another name, if it has one."""
    output = check_output(config)
    model = extract_part(read_source(config), config.architecture)
    pooling = choose_pooling(config, model)
    if pooling:
        encoder = architecture_of(model.config, "Model")
        model = extract_part(model, encoder)._replace(sentence=pooling)
    if config.labels:
        model = rename_labels(model, config.labels)
    if config.vocab_size is not None:
        model = shrink_vocabulary(model, config.vocab_size)
    with Progress(f"writing {config.to}"):
        if config.to in ("huggingface", "sentence-transformers"):
            write_directory(output, model, dtype=config.dtype)
            result = f"{shown}/"
        elif config.to == "stablehlo":
            write_stablehlo(model, output)
            result = f"{shown}: any batch size, up to {model.config.max_position_embeddings} tokens"
        else:
            worst = write_onnx(model, output)
            result = f"{shown}: ONNX Runtime differs by at most {worst:.1e}"
    print(f"{model.architecture}, {count_parameters(model.params):,} parameters → {result}")
    if config.to == "huggingface" or not is_address(shown):  # others open local files alone
        print(next_use(config.to, model, shown))


def next_use(to: str, model: PretrainedModel, output: str) -> str:
    """Return a command that uses what was written."""
    if to == "huggingface":
        is_encoder = model.architecture in ENCODERS
        return next_finetuning(output) if is_encoder else next_step("predict.py", output)
    code = {
        "sentence-transformers": "from sentence_transformers import SentenceTransformer as Model; "
        f"print(Model({output!r}).encode(['a text']))",
        "stablehlo": "import jax.export, pathlib; "
        f"file = pathlib.Path({output!r}).read_bytes(); "
        "print(jax.export.deserialize(bytearray(file)).in_avals)",
        "onnx": "import onnxruntime; "
        f"print([x.name for x in onnxruntime.InferenceSession({output!r}).get_inputs()])",
    }
    return next_step("-c", code[to])


def check_output(config: ConvertConfig) -> Path:
    """Return the output path; of full directories, only models that bert_jax wrote are replaced.

    Raises:
        ConfigError: the output would replace other files or the source, or cannot be a file.
    """
    source, output = Path(config.source), Path(config.output)
    if config.to in ("stablehlo", "onnx"):
        if config.dtype != "float32":
            raise ConfigError(
                f"--to {config.to} writes no {config.dtype}",
                'float32; other types with "huggingface" and "sentence-transformers"',
                "leave out --dtype",
            )
        if output.is_dir() or not output.parent.is_dir():
            raise ConfigError(
                f"{output} cannot be a file: it is a directory, or its directory is missing",
                "a file in a directory that exists",
                "choose another output, or create the directory",
            )
        return output
    sources = (path.resolve() for path in (source, source / "model"))
    contains_source = any(path.is_relative_to(output.resolve()) for path in sources)
    is_free = output.is_dir() and ((output / METADATA_FILE).exists() or not any(output.iterdir()))
    if output.exists() and (contains_source or not is_free):
        raise ConfigError(
            f"{output} exists and would be replaced",
            "a new directory, or an older output of this script",
            "choose another output",
        )
    return output


def read_source(config: ConvertConfig) -> PretrainedModel:
    """Read the source in any of its formats."""
    source = Path(config.source)
    if source.is_dir():
        # A part of a pretraining model has no labels.
        return read_model(source, config.which, labels=not config.architecture)
    if not source.with_name(f"{source.name}.index").exists():
        raise ConfigError(
            f"{source} is not a model",
            "a directory, or the path of a TF1 checkpoint without its .index",
            "check the path",
        )
    return read_tf_checkpoint(
        source,
        source.with_name("bert_config.json"),
        source.with_name("vocab.txt"),
        Casing(config.lowercase, config.strip_accents),
        config.hidden_act or None,
    )


def choose_pooling(config: ConvertConfig, model: PretrainedModel) -> SentencePooling | None:
    """Return how the output makes vectors of texts; None if it has the model's own outputs."""
    is_directory = config.to == "sentence-transformers"
    if not (config.pooling or is_directory):
        return None
    pooling = model.sentence or SentencePooling(max_length=(model.task or {}).get("max_length"))
    if config.pooling:
        pooling = pooling._replace(mode=config.pooling)
    return pooling._replace(normalize=pooling.normalize or config.normalize)


def extract_part(model: PretrainedModel, name: str) -> PretrainedModel:
    """Return the part of a model that another architecture needs; empty returns the model."""
    if not name or name == model.architecture:
        return model
    parts: dict[str, tuple[str, ...]] = {
        f"{model.config.family}{head}": names
        for head, names in (
            ("Model", ()),
            ("ForMaskedLM", ("mlm",)),
            ("ForPreTraining", ("mlm", "nsp")),
        )
    }
    if name not in parts or name not in ARCHITECTURES:
        raise ConfigError(
            f"--architecture {name} is no part of a {model.architecture}",
            f"one of {', '.join(part for part in parts if part in ARCHITECTURES)}",
            "choose one of them, or leave out --architecture",
        )
    params = with_encoder(model.params)
    missing = [part for part in parts[name] if part not in params]
    if missing:
        raise ConfigError(
            f"{model.architecture} has no head {', '.join(missing)}, which {name} needs",
            "a model pretrained with this head",
            "choose another --architecture",
        )
    bert = params["bert"]
    if parts[name] == ("mlm",):
        bert = {part: x for part, x in bert.items() if part != "pooler"}
    params = {"bert": bert, **{part: params[part] for part in parts[name]}} if parts[name] else bert
    return PretrainedModel(model.config, name, params, model.tokenizer)


def rename_labels(model: PretrainedModel, labels: tuple[str, ...]) -> PretrainedModel:
    """Return a model with other names for its outputs.

    Raises:
        ConfigError: not as many names as the model has, or one twice.
    """
    if len(set(labels)) != len(model.labels) or len(labels) != len(model.labels):
        raise ConfigError(
            f"labels = {' '.join(labels)}, but those of the model are {list(model.labels)}",
            f"{len(model.labels)} different names",
            "choose other --labels, or leave them out",
        )
    return model._replace(labels=labels)


def shrink_vocabulary(model: PretrainedModel, size: int) -> PretrainedModel:
    """Return a model of the first `size` tokens, whose ids stay.

    Texts made of these tokens have the same outputs; other words are cut into shorter pieces.

    Raises:
        ConfigError: the vocabulary is smaller, or a token that is needed would be lost.
    """
    tokenizer = keep_first_tokens(model.tokenizer, size)
    is_encoder = "bert" not in model.params
    params = keep_rows(with_encoder(model.params), size)
    return model._replace(
        config=dataclasses.replace(model.config, vocab_size=size),
        params=params["bert"] if is_encoder else params,
        tokenizer=tokenizer,
    )


@report_user_errors
def command_line() -> int:
    """Parse the command line, run `main`, and return the exit code."""
    return main(read_options(ConvertConfig, "convert.py", __doc__, TOPICS))


if __name__ == "__main__":
    sys.exit(command_line())
