"""A model's name on the command line → the views that apply to it."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bert_jax.errors import ConfigError, UserError, warn
from bert_jax.explorer.runs import find_runs, is_run, lock_holder, read_config
from bert_jax.explorer.view import View
from bert_jax.interop.huggingface import find_directory
from bert_jax.models.functional import count_parameters
from bert_jax.pretrained import load
from bert_jax.remote.addresses import as_path
from bert_jax.remote.reading import fetch

# A name is a module of views/ with a function NAME_view(model) -> View, or None where the model
# cannot do it. Each kind of model has its own class of `model`.
VIEWS = {
    "bert": (  # bert_jax.pretrained.Model
        "fill",
        "classify",
        "tag",
        "answer",
        "attention",
        "vectors",
    ),
    "translator": (  # bert_jax.lineage.translator.Translator
        "translate",
    ),
    "memory": (  # Path of a run of copytask.py
        "heads",
    ),
    "run": (  # Path of a run of every kind, or of a folder of runs
        "run",
    ),
}


class Opened(NamedTuple):
    """What the page shows."""

    name: str
    """Of the model, as it was given."""
    about: str
    """A line: what kind of model it is, and how large."""
    views: list[View]


def open_views(name: str) -> Opened:
    """Load a model and return its views.

    Args:
        name: a run of pretrain.py, finetune.py, train_translator.py or copytask.py, a directory of
            Hugging Face, or the address of one in an object store.

    Raises:
        UserError: there is no model, or nothing that can be shown of it.
    """
    folder = fetch(as_path(name))
    kind, has_runs = kind_of(folder)
    views, error = [*make_views("run", folder)] if has_runs else [], None
    about = f"{name} has no checkpoint yet" if kind else "a folder of runs"
    try:
        if kind is not None:
            leave_devices(folder)
            model, about = LOADERS[kind](name)
            views = [*make_views(kind, model), *views]
    except UserError as reason:  # a run that has just begun has curves to show
        error = reason
        if views:
            warn(f"only the views of the run: {reason.lines[0]}")
    if not views:
        raise error or ConfigError(
            f"{name} ({about}): there is no view of it",
            "a model that predicts words, classes, tags or answers, or a translator",
            "use another model",
        )
    return Opened(name, about, views)


def kind_of(folder: Path) -> tuple[str | None, bool]:
    """Return the kind of model in a folder, a key of VIEWS, and whether it has runs to show.

    The kind is None for a folder that has runs in it, but no model.

    Raises:
        ConfigError: there is neither a model nor a run.
    """
    if is_run(folder):
        fields = read_config(folder)
        if "source_length" in fields:
            return "translator", True
        if "criterion_sizes" in fields:
            return "memory", True
        return "bert", True
    has_runs = bool(find_runs(folder)[0])
    try:
        find_directory(folder)  # raises an error for a folder that holds no model
    except ConfigError:
        if has_runs:
            return None, True
        raise
    return "bert", has_runs


def leave_devices(folder: Path) -> None:
    """Open the model on the CPU where a run in progress has the accelerators of this machine."""
    if lock_holder(folder) == "alive":
        print(f"{folder} is being trained: its model is opened on the CPU", file=sys.stderr)
        jax.config.update("jax_platforms", "cpu")


def make_views(kind: str, model: Any) -> Iterator[View]:
    """Yield the views that apply to a model."""
    for name in VIEWS[kind]:
        module = f"bert_jax.explorer.views.{name}"
        if importlib.util.find_spec(module) is None:
            continue
        view = getattr(importlib.import_module(module), f"{name}_view")(model)
        if view is not None:
            yield view


def open_bert(name: str) -> tuple[Any, str]:
    """Load a BERT, pretrained or fine-tuned."""
    model = load(name)
    config = model.config
    size = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    heads = f"{config.num_attention_heads} heads"
    parameters = f"{count_parameters(model.params):,} parameters"
    tokens = f"{model.tokenizer.vocab_size:,} tokens"
    return model, f"{model.architecture}: {size}, {heads}, {parameters}, {tokens}"


def open_translator(name: str) -> tuple[Any, str]:
    """Load a translation model."""
    from bert_jax.lineage.translator import load_translator

    translator = load_translator(name)
    return translator, f"a translation model ({translator.config.model.kind})"


def open_memory(name: str) -> tuple[Any, str]:
    """Return the folder of a run of copytask.py."""
    return fetch(as_path(name)), "a network with a memory"


LOADERS: dict[str, Callable[[str], tuple[Any, str]]] = {
    "bert": open_bert,
    "translator": open_translator,
    "memory": open_memory,
}
