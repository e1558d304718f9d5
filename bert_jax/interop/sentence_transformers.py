"""Files that make a model directory one of the library sentence-transformers.

They are those of its versions 2 to 5, which later ones read too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from bert_jax.errors import ConfigError, one_line
from bert_jax.filesystem import MAX_JSON_BYTES, read_json_object, read_text
from bert_jax.models.pooling import PoolingMode, SentencePooling

MODULES_FILE = "modules.json"
_SETTINGS_FILE = "sentence_bert_config.json"
_POOLING_FOLDER = "1_Pooling"
_FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
}
_OTHER_FLAGS = ("pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens",
                "pooling_mode_lasttoken")  # fmt: skip


def sentence_files(pooling: SentencePooling, width: int, positions: int) -> dict[str, str]:
    """Return the texts of the files, by their paths in the directory.

    Args:
        pooling: how vectors are made.
        width: length of a vector, D.
        positions: maximum length in tokens where `pooling` has none.
    """
    names = ["Transformer", "Pooling", *["Normalize"] * pooling.normalize]
    paths = ["", _POOLING_FOLDER, "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(zip(names, paths, strict=False))
    ]
    flags = {flag: mode == pooling.mode for mode, flag in _FLAGS.items()}
    flags |= dict.fromkeys(_OTHER_FLAGS, False)
    settings = {"max_seq_length": pooling.max_length or positions, "do_lower_case": False}
    files: dict[str, Any] = {
        MODULES_FILE: modules,
        _SETTINGS_FILE: settings,
        f"{_POOLING_FOLDER}/config.json": {"word_embedding_dimension": width} | flags,
    }
    if pooling.normalize:
        files["2_Normalize/config.json"] = {}
    return {path: json.dumps(values, indent=2) + "\n" for path, values in files.items()}


def read_sentence_pooling(folder: Path, log: Callable[[str], None]) -> SentencePooling | None:
    """Read how a directory of sentence-transformers makes its vectors; None if it is none.

    Args:
        folder: the model directory.
        log: called with a warning if it has modules that are not supported, such as Dense.

    Raises:
        ConfigError: a file is invalid, or pools in another way than by mean, maximum or [CLS].
    """
    path = folder / MODULES_FILE
    if not path.exists():
        return None
    modules = _read_modules(path)
    names = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
    unsupported = sorted(set(names) - {"Transformer", "Pooling", "Normalize"})
    if unsupported:
        log(f"{path}: {', '.join(unsupported)} is not supported: embed() leaves it out")
    if "Pooling" not in names:
        return None
    settings_path = folder / _SETTINGS_FILE
    settings = read_json_object(settings_path) if settings_path.exists() else {}
    length = settings.get("max_seq_length")
    is_length = isinstance(length, int) and 8 <= length <= 1 << 20
    mode = _read_mode(folder / names["Pooling"] / "config.json")
    return SentencePooling(mode, "Normalize" in names, length if is_length else None)


def _read_modules(path: Path) -> list[dict[str, str]]:
    """Read modules.json: a list of objects with a type and a path inside of the directory."""
    text = read_text(path, MAX_JSON_BYTES)
    try:
        modules = json.loads(text)
        for module in modules:
            inside = not Path(module["path"]).is_absolute() and ".." not in module["path"]
            if not inside or not isinstance(module["type"], str):
                raise ValueError(f"{module} is no module of this directory")
        return modules
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} cannot be read: {one_line(error)}", "a list of modules", "download it again"
        ) from None


def _read_mode(path: Path) -> PoolingMode:
    """Read how a Pooling module pools: by its name, or by the flags of versions before 6."""
    values = read_json_object(path)
    named = values.get("pooling_mode")
    chosen = named if isinstance(named, list) else [named] if named else []
    if not chosen:
        flags = (*_FLAGS.values(), *_OTHER_FLAGS)
        modes = {flag: mode for mode, flag in _FLAGS.items()}
        chosen = [modes.get(flag, flag) for flag in flags if values.get(flag)]
    for mode in get_args(PoolingMode):
        if chosen == [mode]:
            return mode
    raise ConfigError(
        f"{path}: pooling by {' and '.join(map(str, chosen)) or 'nothing'} is not supported",
        f"one of {', '.join(get_args(PoolingMode))}",
        f"remove {MODULES_FILE} from the directory to use it as an encoder",
    )
