"""Folders and globs: the files in them that hold text; what is left out is counted."""

import glob
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from bert_jax.errors import DataError, os_error_reason
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.formats import NotTextError, plain_ending

ENDINGS = (".txt", ".jsonl", ".parquet", "")  # also with .gz or .xz
LINKED = "link to a folder (not followed)"
OWN_FILES = re.compile(r"LOCK|tokenizer|beam|T\d+|report\.json(\.partial)?")  # in an output folder

T = TypeVar("T")


def read_folder(
    folder: Path, make: Callable[[str], T], findings: Findings, output: Path | None
) -> list[T]:
    """Return `make(path)` of each file with text in a folder and its subfolders, in a fixed order.

    Args:
        folder: the folder; links to other folders are not followed.
        make: makes a source of a path; may raise `NotTextError`.
        findings: counts what is left out.
        output: prepare.py's output folder, of which its own files are left out.

    Raises:
        DataError: a folder cannot be read, or there is no such file.
    """

    def refuse(error: OSError) -> None:
        raise _folder_error(error.filename, error)

    skipped = Findings()
    paths = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                skipped.add(LINKED, os.path.join(parent, name))
        paths += [Path(parent, name) for name in names]
    texts = [
        path
        for path in sorted(paths)
        if not _is_own_file(path, output)
        and _may_hold_text(path, ENDINGS, skipped, is_hidden=path.name.startswith("."))
    ]
    return _make(f"folder {str(folder)!r} holds no text", texts, make, skipped, findings)


def read_glob(
    pattern: str, make: Callable[[str], T], findings: Findings, output: Path | None
) -> list[T]:
    """Return `make(path)` of each file with text that a glob matches, in a fixed order.

    It reads what `read_folder` reads, and files that end like the pattern itself ("*.csv").

    Args:
        pattern: the glob; "**" does not follow links to folders.
        make: makes a source of a path; may raise `NotTextError`.
        findings: counts what is left out.
        output: prepare.py's output folder, of which its own files are left out.

    Raises:
        DataError: a folder cannot be read, or there is no such file.
    """
    parents = [str(parent) for parent in Path(pattern).parents]
    _check_folders(path for parent in parents for path in glob.glob(parent, recursive=True))
    root = next(Path(parent) for parent in parents if not glob.has_magic(parent))
    ending = plain_ending(pattern)
    endings = ENDINGS if glob.has_magic(ending) else (*ENDINGS, ending)
    skipped = Findings()
    texts = []
    matches = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    for path in matches:
        if _is_own_file(path, output):
            continue
        links = [
            parent for parent in path.relative_to(root).parents if (root / parent).is_symlink()
        ]
        if "**" in pattern and links:
            skipped.add(LINKED, str(root / links[-1]))
        elif path.is_dir():
            if "**" not in pattern:
                skipped.add("folder matched by a glob (skipped; name it to read it)", str(path))
        elif _may_hold_text(path, endings, skipped):
            texts.append(path)
    wrong = f"{pattern!r} matches no {'text' if matches else 'file'}"
    return _make(wrong, texts, make, skipped, findings)


def _check_folders(folders: Iterable[str]) -> None:
    """Refuse folders that cannot be read: `glob` would pass over them."""
    for folder in set(folders):
        if os.path.isdir(folder):
            try:
                os.scandir(folder).close()
            except OSError as error:
                raise _folder_error(folder, error) from None


def _may_hold_text(
    path: Path, endings: tuple[str, ...], skipped: Findings, is_hidden: bool = False
) -> bool:
    """Return whether to read a file, by its type and name; count it if not."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        skipped.add("link that leads nowhere (skipped)", str(path))
        return False
    except OSError as error:
        raise _folder_error(str(path), error) from None
    if not is_file:
        skipped.add("neither a file nor a folder (skipped)", str(path))
    elif is_hidden or plain_ending(path.name) not in endings:
        skipped.add("file of another type (skipped; name it to read it)", str(path))
    else:
        return True
    return False


def _make(
    wrong: str,
    paths: list[Path],
    make: Callable[[str], T],
    skipped: Findings,
    findings: Findings,
) -> list[T]:
    """Make a source of each path, unless it holds no text; raise without any source."""
    sources = []
    for path in paths:
        try:
            sources.append(make(str(path)))
        except NotTextError as error:
            skipped.add(f"{error.kind} (skipped)", str(path))
    findings.merge(skipped)
    if not sources:
        raise DataError(
            "; ".join([wrong, *skipped.summary()]),
            f"files that end in {', '.join(filter(None, ENDINGS))}, .gz or .xz, or have no suffix",
            "check the path, or name the files themselves",
        )
    return sources


def _folder_error(name: str, error: OSError) -> DataError:
    return DataError(
        f"{name} cannot be read: {os_error_reason(error)}",
        "folders and files that can be read",
        "change its permissions, or name the files to read",
    )


def _is_own_file(path: Path, output: Path | None) -> bool:
    """Return whether a file is one that prepare.py writes to its output folder."""
    if output is None or not path.resolve().is_relative_to(output.resolve()):
        return False
    parts = path.resolve().relative_to(output.resolve()).parts
    return bool(parts and OWN_FILES.fullmatch(parts[0]))
