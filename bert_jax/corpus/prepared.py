"""Prepared data: open a folder that prepare.py wrote, and check it."""

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_jax.corpus.datasets import REPORT
from bert_jax.corpus.loader import PretrainingRows
from bert_jax.corpus.rows import RowFormat
from bert_jax.errors import ConfigError, DataError, one_line
from bert_jax.filesystem import read_text, write_text
from bert_jax.remote.addresses import as_path, find_address
from bert_jax.remote.reading import fetch
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_HASHED_BYTES = 1 << 30  # up to this size, `check` compares hashes too
MAX_REPORT_BYTES = 1 << 28  # about 150 bytes a shard
RERUN = "run prepare.py again"
# what a report needs to have, and of which type
_FIELDS = {
    "config": dict, "datasets": dict, "fingerprint": str, "tokenizer_sha256": str,
    "unigram_entropy": float,
}  # fmt: skip
_DATASET_FIELDS = {"max_sequences": int, "vocab_size": int, "splits": dict}
_SHARD_FIELDS = {"file": str, "rows": int, "bytes": int, "sha256": str}


class PreparedData:
    """A folder that prepare.py finished: its report, tokenizer and rows.

    Args:
        folder: prepare.py's `--output`; one in an object store is fetched.

    Raises:
        DataError: there is no such folder, or prepare.py did not finish it.
    """

    def __init__(self, folder: str | Path):
        self.folder = fetch(as_path(folder))
        self.report = _read_report(self.folder)
        self._datasets = self.report["datasets"]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Row lengths T, ascending."""
        return tuple(sorted(map(int, self._datasets)))

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, tokenizer and every shard."""
        return self.report["fingerprint"]

    @property
    def nsp(self) -> bool:
        """True for pairs with NSP labels, False for sequences of one segment."""
        return self.report["config"].get("nsp", True)

    @property
    def tokenizer_sha256(self) -> str:
        """Hash of the tokenizer that made the rows."""
        return self.report["tokenizer_sha256"]

    @property
    def unigram_loss(self) -> float:
        """MLM loss in nats of a unigram model of the training text: a trivial baseline.

        Measured on held-out text, or on training text if none is held out. Reports of earlier
        versions lack it; for them it is the entropy of the training text.
        """
        return self.report.get("unigram_loss", self.report["unigram_entropy"])

    def nsp_majority(self, length: int) -> float:
        """Return the NSP accuracy of always predicting the more frequent label.

        Measured on the held-out pairs in rows of `length` tokens, or on the training pairs if none
        are held out.

        Raises:
            DataError: there are no rows of this length.
            KeyError: the rows have no NSP labels.
        """
        splits = self._entry(length)["splits"]
        return splits.get("eval", splits["train"])["nsp_majority"]

    @property
    def tokenizer_folder(self) -> Path:
        """Folder of the tokenizer's files."""
        return self.folder / "tokenizer"

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer that made the rows.

        Raises:
            ConfigError: its hash is not the one in the report.
        """
        tokenizer = Tokenizer.load(self.tokenizer_folder)
        if tokenizer.sha256 != self.tokenizer_sha256:
            raise ConfigError(
                f"{self.tokenizer_folder} has hash {tokenizer.sha256[:12]}…",
                f"{self.tokenizer_sha256[:12]}…, with which the rows were made",
                f"restore the tokenizer's files, or {RERUN}",
            )
        return tokenizer

    @functools.cache  # noqa: B019 - a handful of entries, as long-lived as the data
    def rows(self, length: int, split: str = "train") -> PretrainingRows:
        """Open the rows of one length and split.

        Raises:
            DataError: there is no such length or split, or a shard is missing.
        """
        entry = self._entry(length)
        if split not in entry["splits"]:
            raise DataError(
                f"{self.folder}/T{length} has no split {split!r}",
                f"one of {', '.join(entry['splits'])}",
                "prepare with --eval-share above 0 to hold documents out",
            )
        row_format = RowFormat(length, entry["max_sequences"], entry["vocab_size"], self.nsp)
        shards = entry["splits"][split]["shards"]
        names = [(shard["file"], shard["rows"]) for shard in shards]
        hashes = [shard["sha256"] for shard in shards]
        return PretrainingRows(self.folder / row_format.folder_name, row_format, names, hashes)

    def splits(self, length: int) -> tuple[str, ...]:
        """Return the splits of a row length: "train", and "eval" if documents were held out."""
        return tuple(self._entry(length)["splits"])

    def require_lengths(self, lengths: Iterable[int]) -> None:
        """Check that there are rows of all these lengths.

        Raises:
            DataError: some are missing; all of them are named.
        """
        needed, present = {*lengths}, {*self.lengths}
        if missing := sorted(needed - present):
            names, all_lengths = ", ".join(map(str, missing)), sorted(needed | present)
            raise DataError(
                f"{self.folder} has no rows of length {names}",
                f"one of {', '.join(map(str, self.lengths))}",
                f"{RERUN} with --lengths {' '.join(map(str, all_lengths))}",
            )

    def _entry(self, length: int) -> dict[str, Any]:
        self.require_lengths([length])
        return self._datasets[str(length)]

    def check(self) -> None:
        """Compare every shard's size with the report, and its hash if all are less than 1 GB.

        Hashes of rows that were fetched from an object store are compared once in any case.

        Raises:
            DataError: a shard is missing, or is not the one that was written.
        """
        shards = [
            (self.folder / f"T{length}" / shard["file"], shard)
            for length in self.lengths
            for split in self._entry(length)["splits"].values()
            for shard in split["shards"]
        ]
        compare_hashes = sum(shard["bytes"] for _, shard in shards) < MAX_HASHED_BYTES
        is_copy = find_address(self.folder) is not None
        verified = self.folder.with_name(f"{self.folder.name}.verified")
        if is_copy and not (verified.exists() and verified.read_text() == self.fingerprint):
            compare_hashes = True
        for path, shard in shards:
            size = path.stat().st_size if path.is_file() else None
            if size != shard["bytes"]:
                actual = "is missing" if size is None else f"has {size} bytes"
                raise DataError(f"{path} {actual}", f"{shard['bytes']} bytes", self._discard(path))
            if compare_hashes:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if digest != shard["sha256"]:
                    raise DataError(
                        f"{path} has changed: sha256 {digest[:12]}…",
                        f"sha256 {shard['sha256'][:12]}…",
                        self._discard(path),
                    )
        if is_copy and compare_hashes:
            write_text(verified, self.fingerprint)

    def _discard(self, path: Path) -> str:
        """Remove a damaged file if it is a copy; return the next step for the user."""
        if find_address(path) is None:
            return f"restore it, or {RERUN}"
        path.unlink(missing_ok=True)
        return f"re-run this command, which fetches it again; if that does not help, {RERUN}"


def _read_report(folder: Path) -> dict[str, Any]:
    """Read and check the report of prepared data.

    Raises:
        DataError: there is none, it is not JSON, or it lacks something.
    """
    path = folder / REPORT
    if not path.exists():
        raise DataError(
            f"{folder} holds no finished prepared data: there is no {REPORT}",
            f"a folder that prepare.py finished (it writes {REPORT} last)",
            f"check the path, or {RERUN}",
        )
    text = read_text(path, MAX_REPORT_BYTES, DataError)
    try:
        report = json.loads(text)
        _check_fields(report, _FIELDS)
        for dataset in report["datasets"].values():
            _check_fields(dataset, _DATASET_FIELDS)
            for split in dataset["splits"].values():
                for shard in split["shards"]:
                    _check_fields(shard, _SHARD_FIELDS)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged: {one_line(error)}",
            "the report as prepare.py wrote it",
            f"restore the file, or {RERUN}",
        ) from None
    return report


def _check_fields(values: dict[str, Any], types: dict[str, type]) -> None:
    """Raise a `TypeError` if a field is missing or of another type."""
    for name, kind in types.items():
        if not isinstance(values.get(name), kind):
            raise TypeError(f"{name} is {values.get(name)!r:.40}, not of type {kind.__name__}")
