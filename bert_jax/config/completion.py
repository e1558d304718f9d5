"""Shell completion: tyro completes `pretrain.py …`, and these additions `python pretrain.py …`."""

BASH = """
_bert_jax_python() {
  local name="_tyro_${COMP_WORDS[1]##*/}"
  name="${name//[^a-zA-Z0-9_]/_}"
  if ((COMP_CWORD > 1)) && declare -F "$name" >/dev/null; then
    COMP_WORDS=("${COMP_WORDS[@]:1}")
    ((COMP_CWORD -= 1))
    "$name"
  fi
}
complete -o bashdefault -o default -F _bert_jax_python python python3
"""
ZSH = """
_bert_jax_python() {
  local name="_tyro_${words[2]:t}"
  name="${name//[^a-zA-Z0-9_]/_}"
  if (( CURRENT > 2 && $+functions[$name] )); then
    shift words
    (( CURRENT -= 1 ))
    "$name"
  else
    _default
  fi
}
compdef _bert_jax_python python python3
"""


def complete_after_python(completion: str, script: str, shell: str = "") -> str:
    """Return a completion of `python SCRIPT …`, to be sourced by the shell.

    Args:
        completion: what tyro prints for the shell.
        script: name of the script, such as "pretrain.py".
        shell: "bash" and "zsh" are extended, others not.
    """
    if shell == "bash":
        return completion + BASH
    if shell == "zsh":  # tyro's is for a folder of autoloaded functions, and ends with a call
        function = f"_tyro_{script.replace('.', '_')}"
        body = completion.rpartition("\ntypeset -A opt_args\n")[0]
        return f"{body}\ncompdef {function} {script}\n{ZSH}"
    return completion
