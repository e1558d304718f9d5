"""bert_jax.json: fields that config.json lacks, and the hash of every file of a directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bert_jax.errors import ConfigError
from bert_jax.filesystem import open_regular, read_json_object

METADATA_FILE = "bert_jax.json"
FREE_TO_EDIT = ("README.md",)


def make_metadata(folder: Path, task: dict[str, Any] | None, tokenizer_sha256: str) -> str:
    """Return the text of bert_jax.json for the files that are in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    metadata: dict[str, Any] = {
        "task": task,
        "tokenizer_sha256": tokenizer_sha256,
        "files": {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths},
    }
    metadata["sha256"] = _own_sha256(metadata)
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return what bert_jax.json holds; nothing if there is none, as from another program.

    Raises:
        ConfigError: it was changed after it was written.
    """
    path = folder / METADATA_FILE
    if not path.exists():
        return {}
    metadata = read_json_object(path)
    if "sha256" in metadata or "files" in metadata:  # older ones hold neither
        check_hash(str(path), _own_sha256(metadata), metadata.get("sha256"))
    return metadata


def verify_files(folder: Path, metadata: dict[str, Any]) -> None:
    """Check the files of a directory, the model card aside, against its bert_jax.json.

    Raises:
        ConfigError: a file was changed after it was written.
    """
    files = metadata.get("files")
    if not isinstance(files, dict):  # as older versions wrote it
        sha256 = metadata.get("weights_sha256")
        files = {"model.safetensors": sha256} if sha256 else {}
    for name in files.keys() - set(FREE_TO_EDIT):
        if (folder / name).exists():  # what is missing, and needed, is missed by its reader
            check_hash(str(folder / name), file_sha256(folder / name), files[name])


def check_hash(name: str, actual: str, expected: Any) -> None:
    """Raise a `ConfigError` if a hash is not the recorded one."""
    if actual != expected:
        raise ConfigError(
            f"{name} has hash {actual[:16]}…",
            f"{str(expected)[:16]}…, as recorded in {METADATA_FILE}",
            f"restore the original files or, if the change is meant, delete {METADATA_FILE}",
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _own_sha256(metadata: dict[str, Any]) -> str:
    """Return the hash of everything in bert_jax.json but this hash."""
    values = {name: value for name, value in metadata.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
