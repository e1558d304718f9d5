"""The scripts and what each is for: `python -m bert_jax`; shell completion for all of them.

`python -m bert_jax completion bash` (or zsh) prints what the shell has to source.
"""

import ast
import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "demo", "prepare", "pretrain", "finetune", "predict", "explore", "convert",
    "train_translator", "translate", "copytask",
)  # fmt: skip
"""Names of the scripts in the order of use; others follow."""
SHELLS = ("bash", "zsh")
INSTALLED = """\
The scripts are part of the source repository, not of the installed package; clone it for
pretraining, fine-tuning and prediction on the command line. In Python, a trained model is

    import bert_jax
    model = bert_jax.load(DIRECTORY)  # a run, or a Hugging Face directory

"""


def main(arguments: list[str], folder: Path = Path(__file__).parent.parent) -> int:
    """Print the list of scripts, or their shell completion; return the exit code.

    Args:
        arguments: those of the command line.
        folder: the repository.
    """
    scripts = find_scripts(folder)
    if arguments[:1] == ["completion"] and len(arguments) == 2 and arguments[1] in SHELLS:
        for path in scripts:
            command = [sys.executable, str(path), "--tyro-print-completion", arguments[1]]
            if path.stem != "demo":  # it has no options
                print(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        return 0
    if arguments:
        print(__doc__.strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    if not scripts:
        print(INSTALLED, end="")
        return 0
    width = max(len(path.name) for path in scripts)
    print("Scripts, each with options and examples under --help:\n")
    for path in scripts:
        print(f"  python {path.name:{width}}  {describe(path)}")
    return 0


def find_scripts(folder: Path) -> list[Path]:
    """Return the scripts of the repository; none where the package alone is installed."""
    if not (folder / "pretrain.py").is_file():
        return []
    scripts = [path for path in folder.glob("*.py") if "__main__" in path.read_text("utf-8")]
    order = {name: number for number, name in enumerate(SCRIPTS)}
    return sorted(scripts, key=lambda path: (order.get(path.stem, len(order)), path.name))


def describe(script: Path) -> str:
    """Return what a script is for: the first line of its docstring, without its command."""
    docstring = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""
    return docstring.split("\n")[0].partition(": `python")[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
