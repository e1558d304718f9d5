"""`python -m bert_jax`: the scripts, in the repository and where the package is installed."""

import subprocess
import sys
from pathlib import Path

from bert_jax.__main__ import SCRIPTS, find_scripts, main

ROOT = Path(__file__).parent.parent


def test_all_scripts_are_listed_in_order_with_what_they_are_for(capsys):
    assert main([]) == 0
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if line.startswith("  python ")]
    names = [line.split()[1].removesuffix(".py") for line in lines]
    assert {*names} == {path.stem for path in ROOT.glob("*.py")}
    assert names == [name for name in SCRIPTS if name in names]
    assert all(len(line) <= 80 and len(line.split()) > 5 for line in lines)
    assert "  python pretrain.py          Pretrain BERT on rows that prepare.py wrote" in lines


def test_an_installed_package_says_where_the_scripts_are(tmp_path, capsys):
    assert main([], tmp_path) == 0
    output = capsys.readouterr().out
    assert "source repository" in output
    assert "bert_jax.load" in output


def test_a_file_that_is_no_script_is_not_listed(tmp_path):
    for name, text in {"pretrain": "__main__", "zeta": "__main__", "helper": ""}.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert [path.stem for path in find_scripts(tmp_path)] == ["pretrain", "zeta"]


def test_completion_is_that_of_all_scripts_but_the_demo(tmp_path, capsys):
    for name in ("pretrain", "demo"):
        text = f"import sys\nprint({name!r}, sys.argv[1:])\n# __main__\n"
        (tmp_path / f"{name}.py").write_text(text)
    assert main(["completion", "zsh"], tmp_path) == 0
    assert capsys.readouterr().out == "pretrain ['--tyro-print-completion', 'zsh']\n\n"


def test_other_arguments_are_refused_with_the_usage(capsys):
    assert (main(["--help"]), main(["completion", "csh"]), main(["prepare"])) == (0, 2, 2)
    assert capsys.readouterr().out.count("python -m bert_jax completion bash") == 3


def test_it_runs_as_a_module_in_no_time(capsys):
    command = [sys.executable, "-X", "importtime", "-m", "bert_jax"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0
    assert "prepare.py" in result.stdout
    assert "| bert_jax" in result.stderr
    assert "| jax" not in result.stderr
