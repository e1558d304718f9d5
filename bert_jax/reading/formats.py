"""Formats: what a file holds, by its name and by its beginning; what is no text is refused."""

import json
import re
import shlex
from typing import Literal

from bert_jax.errors import DataError

Kind = Literal["text", "jsonl", "table", "parquet"]

COMPRESSED = (".gz", ".xz")
# First bytes of formats that are no text. Compressed data has other first bytes if it is to be
# decompressed, so that what stands here is what was compressed once too often, or misnamed.
_MAGIC = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x1f\x8b", "gzip data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"OggS", "sound or video"),
    (b"RIFF", "sound or video"),
    (b"ID3", "sound"),
)
_FIXES = {
    "gzip data": "rename it to end in .gz",
    "xz data": "rename it to end in .xz",
    "bzip2 data": "decompress it: bzcat {0} > new.txt",
    "Zstandard data": "decompress it: zstdcat {0} > new.txt",
    "a Parquet file": "rename it to end in .parquet, decompressed",
}
_TO_JSONL = (
    "convert it: python -c 'import json, sys; [print(json.dumps(r)) for r in "
    "json.load(open(sys.argv[1]))]' {0} > new.jsonl"
)


class NotTextError(DataError):
    """A file that holds something else than text; folders and globs leave it out."""

    def __init__(self, name: str, kind: str, fix: str = "leave it out, or extract its text"):
        self.kind = kind
        expected = "text, JSON lines, CSV, TSV or Parquet, as the file's name says"
        super().__init__(f"{name} is {kind}", expected, fix.format(shlex.quote(name)))


def is_compressed(name: str) -> bool:
    """Return whether a file is decompressed when it is read, by its ending."""
    return name.lower().endswith(COMPRESSED)


def plain_name(name: str) -> str:
    """Return a file's name in lower case, without the ending of compression."""
    name = name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name


def plain_ending(name: str) -> str:
    """Return a file's ending in lower case, without that of compression: ".txt" for A.TXT.GZ."""
    stem, dot, ending = plain_name(name).rpartition("/")[2].rpartition(".")
    return dot + ending if stem else ""


def file_kind(name: str) -> Kind:
    """Return the kind of a file by its ending; what is unknown is text."""
    kinds: dict[str, Kind] = {
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".json": "jsonl",
        ".csv": "table",
        ".tsv": "table",
        ".parquet": "parquet",
    }
    return kinds.get(plain_ending(name), "text")


def check_format(name: str, head: bytes) -> None:
    """Refuse a file whose beginning is not what its name says.

    Raises:
        NotTextError: it is a picture, an archive or the like.
        DataError: it is JSON where text is expected, or JSON but not one object a line.
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic) and not (magic == b"PAR1" and file_kind(name) == "parquet"):
            raise NotTextError(name, kind, *filter(None, [_FIXES.get(kind)]))
    if head[257:262] == b"ustar":
        raise NotTextError(name, "a tar archive", "extract it: tar xf {0}")
    if file_kind(name) in ("text", "jsonl"):
        _check_json(name, head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))


def _check_json(name: str, head: str) -> None:
    is_text, ending = file_kind(name) == "text", plain_ending(name)
    is_array = re.match(r"\[\s*\{\s*\"" if is_text else r"\[\s*[{\[\"\]]", head) is not None
    is_line = ending != ".json" and _is_json(head.partition("\n")[0], list)
    if is_array and (is_text or not is_line):
        raise DataError(
            f"{name} is a JSON array",
            "JSON lines: one object a line, in a file that ends in .jsonl",
            _TO_JSONL.format(shlex.quote(name)),
        )
    lines = [line for line in head.split("\n")[:-1] if line.strip()][:10]
    is_jsonl = bool(lines) and all(_is_json(line, dict) for line in lines)
    if is_text and is_jsonl:
        raise DataError(
            f"{name} holds JSON, one object a line", "text", "rename it to end in .jsonl"
        )
    if ending == ".json" and lines and not is_jsonl:
        raise DataError(
            f"{name} is not one JSON object a line",
            "JSON lines: one object a line, in a file that ends in .jsonl",
            "save each record as an object on a line of its own",
        )


def _is_json(line: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(line), kind)
    except (ValueError, RecursionError):
        return False
