"""Converts a model: `python convert.py SOURCE OUTPUT [--to FORMAT]`.

SOURCE is a run of pretrain.py or finetune.py, a Hugging Face directory, or a Google TF1 checkpoint.
Exit codes: 0 done, 2 configuration, 3 data, 4 no usable model.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import tyro

from bert_jax.data.tokenizer import Casing
from bert_jax.errors import ConfigError, errors_for_people
from bert_jax.interop.google_tf import read_checkpoint
from bert_jax.interop.huggingface import OURS, Exported, write_directory
from bert_jax.interop.onnx import write_onnx
from bert_jax.interop.stablehlo import write_stablehlo
from bert_jax.models.functional import count_parameters
from bert_jax.pretrained import read_model


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """From where, to where, and as what."""

    source: tyro.conf.Positional[str]
    """A run, a Hugging Face directory, or a TF1 checkpoint (its path without .index)."""
    output: tyro.conf.Positional[str]
    """A directory for "huggingface", a file for the others."""
    to: Literal["huggingface", "stablehlo", "onnx"] = "huggingface"
    """What to write."""
    architecture: Literal["", "BertModel", "BertForPreTraining", "BertForMaskedLM"] = ""
    """Take a part of a pretraining model; empty takes all of it."""
    which: Literal["newest", "best"] = "newest"
    """Which checkpoint of a pretraining run."""
    lowercase: bool = False
    """TF1 only: the vocabulary is uncased."""
    strip_accents: bool | None = None
    """TF1 only: None strips accents exactly when lower-casing."""
    hidden_act: Literal["", "gelu", "gelu_new", "relu"] = ""
    """TF1 only: overrules bert_config.json; its "gelu" is the tanh form ("gelu_new") for models
    that were trained with code since February 2019."""


def main(config: ConvertConfig) -> int:
    """Converts one model; returns the exit code."""
    output = check_output(config)
    model = take_part(read(config), config.architecture)
    if config.to == "huggingface":
        write_directory(output, model)
        done = f"{output}/"
    elif config.to == "stablehlo":
        write_stablehlo(model, output)
        done = f"{output}: any batch, up to {model.config.max_position_embeddings} tokens"
    else:
        worst = write_onnx(model, output)
        done = f"{output}: ONNX Runtime differs by at most {worst:.1e}"
    print(f"{model.architecture}, {count_parameters(model.params):,} parameters → {done}")
    return 0


def check_output(config: ConvertConfig) -> Path:
    """Where to write; of directories, only what this code wrote and does not read is replaced."""
    source, output = Path(config.source), Path(config.output)
    if config.to != "huggingface":
        if output.is_dir() or not output.parent.is_dir():
            raise ConfigError(
                f"{output} cannot be a file: it is a directory, or its directory is missing",
                "a file in a directory that exists",
                "give another output, or make the directory",
            )
        return output
    read_here = (path.resolve() for path in (source, source / "model"))
    holds_source = any(path.is_relative_to(output.resolve()) for path in read_here)
    is_free = output.is_dir() and ((output / OURS).exists() or not any(output.iterdir()))
    if output.exists() and (holds_source or not is_free):
        raise ConfigError(
            f"{output} exists, and would be replaced whole",
            "a new directory, or an older output of this script",
            "give another output",
        )
    return output


def read(config: ConvertConfig) -> Exported:
    """Reads the source, whatever it is."""
    source = Path(config.source)
    if source.is_dir():
        return read_model(source, config.which)
    if not source.with_name(f"{source.name}.index").exists():
        raise ConfigError(
            f"{source} is no model",
            "a directory, or the path of a TF1 checkpoint without its .index",
            "check the path",
        )
    return read_checkpoint(
        source,
        source.with_name("bert_config.json"),
        source.with_name("vocab.txt"),
        Casing(config.lowercase, config.strip_accents),
        config.hidden_act or None,
    )


def take_part(model: Exported, name: str) -> Exported:
    """The encoder alone, or with the head for masked words alone."""
    if not name or name == model.architecture:
        return model
    parts = {"BertModel": (), "BertForMaskedLM": ("mlm",), "BertForPreTraining": ("mlm", "nsp")}
    params = model.params if "bert" in model.params else {"bert": model.params}
    missing = [part for part in parts[name] if part not in params]
    if missing:
        raise ConfigError(
            f"{model.architecture} has no head {', '.join(missing)}, which {name} needs",
            "a model that was pretrained with it",
            "choose another --architecture",
        )
    bert = params["bert"]
    if name == "BertForMaskedLM":
        bert = {part: x for part, x in bert.items() if part != "pooler"}
    chosen = {"bert": bert, **{part: params[part] for part in parts[name]}}
    if name == "BertModel":
        chosen = bert
    return model._replace(architecture=name, params=chosen, labels=(), task=None, problem_type=None)


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    config = tyro.cli(ConvertConfig, prog="convert.py", description=__doc__)
    return main(config)


if __name__ == "__main__":
    sys.exit(command_line())
