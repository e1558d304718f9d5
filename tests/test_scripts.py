"""Command lines of all scripts: help, examples, shell completion, and the command that is next."""

import ast
import dataclasses
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import convert
import copytask
import finetune
import prepare
from bert_jax.config import PrepareConfig
from bert_jax.config.command_line import next_finetuning

ROOT = Path(__file__).parent.parent
WIDTH = 80
SCRIPTS = sorted(
    path.stem for path in ROOT.glob("*.py") if "__main__" in path.read_text() if path.stem != "demo"
)
OF_RUNS = [name for name in SCRIPTS if "choose_run(" in (ROOT / f"{name}.py").read_text()]


class Parsed(Exception):
    """The command line was parsed, and `main` called with the configuration."""


def call(monkeypatch, script: str, arguments: list[str]) -> None:
    """Run a script's command line as far as its `main`, which raises Parsed."""
    module = importlib.import_module(script)

    def main(config):
        raise Parsed(config)

    monkeypatch.setattr(module, "main", main)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    module.command_line()


def printed(monkeypatch, capsys, script: str, *arguments: str) -> str:
    """Return what a script prints before it ends itself."""
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, script, [*arguments])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_fits_a_terminal_and_groups_the_options(monkeypatch, capsys, script):
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    helps = [printed(monkeypatch, capsys, script, "--help")]
    if script in OF_RUNS:
        (name, *_) = importlib.import_module(script).RUNS
        helps.append(printed(monkeypatch, capsys, script, name, "--help"))
    for text in helps:
        assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    groups = re.findall(r"^╭─ (.*?) ─", helps[-1], re.MULTILINE)
    assert len(groups) >= 3
    assert "more options" not in groups, "an option without a topic"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_ends_with_three_examples_that_parse(monkeypatch, capsys, script):
    text = printed(monkeypatch, capsys, script, "--help")
    commands = text.partition("Examples:\n")[2].strip().splitlines()
    assert len(commands) == 3
    for command in commands:
        python, file, *arguments = shlex.split(command.partition(" < ")[0])
        assert (python, file) == ("python", f"{script}.py")
        with pytest.raises(Parsed):
            call(monkeypatch, script, arguments)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_topic_names_options_of_the_script(script):
    module = importlib.import_module(script)
    source = inspect.getsource(module.command_line)
    topics = getattr(module, re.search(r"__doc__, ([A-Z_]+)\)", source)[1])
    config = (
        next(iter(module.RUNS.values()))()
        if script in OF_RUNS
        else getattr(module, re.search(r"read_options\((\w+)", source)[1])
    )
    fields = {field.name for field in dataclasses.fields(config)}
    named = [name for names in topics.values() for name in names]
    assert len(named) == len({*named})
    assert {*named} <= fields


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_completion_knows_the_options_and_the_runs(monkeypatch, capsys, script, shell):
    text = printed(monkeypatch, capsys, script, "--tyro-print-completion", shell)
    names = importlib.import_module(script).RUNS if script in OF_RUNS else ["--help"]
    assert all(f"'{name}'" in text for name in names)
    assert "_bert_jax_python python python3" in text


COMPLETE = """
set -e
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_bert_jax_python
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(file: Path, *words: str) -> list[str]:
    command = ["bash", "-c", COMPLETE, "bash", str(file), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_bash_completes_a_script_after_python(monkeypatch, capsys, tmp_path):
    file = tmp_path / "completion.bash"
    file.write_text(printed(monkeypatch, capsys, "copytask", "--tyro-print-completion", "bash"))
    assert complete(file, "python", "copytask.py", "associative_recall_") == [
        "associative_recall_lstm"
    ]
    assert complete(file, "python3", "./copytask.py", "copy", "--task.max-s") == ["--task.max-size"]
    assert complete(file, "python", "other.py", "copy_") == []


def parse(monkeypatch, line: str) -> Any:
    """Return the configuration of a command that a script ends with."""
    start, _, command = line.partition(": python ")
    assert start.startswith("next")
    file, *arguments = shlex.split(command)
    with pytest.raises(Parsed) as parsed:
        call(monkeypatch, file.removesuffix(".py"), arguments)
    return parsed.value.args[0]


@pytest.mark.parametrize("lengths", [(128,), (32, 128), (64, 256), (1024,), (512, 16)])
def test_after_prepare_a_small_model_is_pretrained_on_its_rows(monkeypatch, lengths):
    prepared = PrepareConfig(inputs=("a b.txt",), output="my data/it's", lengths=lengths)
    config = parse(monkeypatch, prepare.next_pretraining(prepared))
    assert config.data == prepared.output
    assert {phase.length for phase in config.phases} == {min(lengths), max(lengths)}


def test_after_pretraining_an_encoder_is_fine_tuned(monkeypatch):
    assert parse(monkeypatch, next_finetuning("my runs/x")).encoder == "my runs/x"


def test_after_fine_tuning_the_held_out_texts_are_predicted(monkeypatch):
    config = finetune.RUNS["demo"]()
    predicted = parse(monkeypatch, finetune.next_prediction(config, "runs/my reviews"))
    assert (predicted.model, predicted.file) == ("runs/my reviews", config.dev)


@pytest.mark.parametrize("name", copytask.RUNS)
def test_after_a_memory_task_the_other_model_is_trained_on_it(monkeypatch, name):
    config = copytask.RUNS[name]()
    other = parse(monkeypatch, copytask.next_comparison(config))
    assert other.task.name == config.task.name
    assert {other.model.kind, config.model.kind} == {"ntm", "lstm"}


@pytest.mark.parametrize(
    "architecture", ["BertModel", "BertForMaskedLM", "BertForTokenClassification"]
)
def test_a_converted_model_is_used(monkeypatch, architecture):
    model = SimpleNamespace(architecture=architecture)
    config = parse(monkeypatch, convert.next_use("huggingface", model, "my model"))
    is_encoder = architecture == "BertModel"
    assert (config.encoder if is_encoder else config.model) == "my model"
    for to in ("sentence-transformers", "stablehlo", "onnx"):
        *_, option, code = shlex.split(convert.next_use(to, model, "it's/here"))
        assert option == "-c"
        assert "it's/here" in [
            x.value for x in ast.walk(ast.parse(code)) if isinstance(x, ast.Constant)
        ]
