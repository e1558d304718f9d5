"""A small store in memory, and an emulator of Google Cloud Storage on loopback."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

# gcsfs reads it when it is imported, and else asks Google over gRPC what kind of bucket it is.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store in memory with a folder memory://bucket/rows, and an empty cache."""
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/rows/report.json": b"{}", "/bucket/rows/T32/a": b"rows"})
    yield memory
    memory.store.clear()


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Iterator[str]:
    """The address of an empty bucket of an emulator, as this process and its children see it."""
    server = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
    gcsfs = pytest.importorskip("gcsfs", reason="needs the [gcs] extra")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    read = server._read_raw_data
    monkeypatch.setattr(server, "_read_raw_data", lambda handler: _end_by_crlf(read(handler)))
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    gcsfs.GCSFileSystem.clear_instance_cache()
    emulator = server.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    emulator.start()
    yield "gs://bucket"
    emulator.stop()
    gcsfs.GCSFileSystem.clear_instance_cache()


def _end_by_crlf(body: bytes | None) -> bytes | None:
    """End the last part of an upload as RFC 2046, section 5.1.1, says: by CRLF and a delimiter.

    gcsfs ends it by LF and the delimiter. Of a file whose last byte is a CR, as every 256th binary
    file's is, the emulator's parser takes that byte for a part of the line's end.
    """
    end = b"--==0==--"
    if body is None or not body.endswith(b"\n" + end):
        return body
    return body[: -len(end) - 1] + b"\r\n" + end


def write_run(folder: Path, *steps: int) -> None:
    """Write what a run consists of, with these steps of its checkpoints."""
    for step in steps:
        (folder / "checkpoints" / str(step)).mkdir(parents=True)
        (folder / "checkpoints" / str(step) / "d").write_text(f"data {step}")
        (folder / "checkpoints" / f"{step}.manifest.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("{}\n")
