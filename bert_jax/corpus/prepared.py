"""Prepared data: open a folder that prepare.py wrote, and check it."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from bert_jax.corpus.datasets import REPORT
from bert_jax.corpus.loader import PretrainingRows
from bert_jax.corpus.rows import RowFormat
from bert_jax.errors import ConfigError, DataError
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_HASHED_BYTES = 1 << 30  # up to this size, `check` compares hashes too
RERUN = "run prepare.py again"


class PreparedData:
    """A folder that prepare.py finished: its report, tokenizer and rows.

    Args:
        folder: prepare.py's `--output`.

    Raises:
        DataError: there is no such folder, or prepare.py did not finish it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        path = self.folder / REPORT
        try:
            self.report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._datasets = self.report["datasets"]
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{self.folder} holds no finished prepared data: {path.name}: {error!r}",
                f"a folder that prepare.py finished (it writes {REPORT} last)",
                f"check the path, or {RERUN}",
            ) from None

    @property
    def lengths(self) -> tuple[int, ...]:
        """Row lengths T, ascending."""
        return tuple(sorted(map(int, self._datasets)))

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, tokenizer and every shard."""
        return self.report["fingerprint"]

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
        row_format = RowFormat(length, entry["max_sequences"], entry["vocab_size"])
        shards = [(shard["file"], shard["rows"]) for shard in entry["splits"][split]["shards"]]
        return PretrainingRows(self.folder / row_format.folder_name, row_format, shards)

    def _entry(self, length: int) -> dict[str, Any]:
        if str(length) not in self._datasets:
            raise DataError(
                f"{self.folder} has no rows of length {length}",
                f"one of {', '.join(map(str, self.lengths))}",
                f"prepare with --lengths {' '.join(map(str, {*self.lengths, length}))}",
            )
        return self._datasets[str(length)]

    def check(self) -> None:
        """Compare every shard's size with the report, and its hash if all are less than 1 GB.

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
        for path, shard in shards:
            size = path.stat().st_size if path.is_file() else None
            if size != shard["bytes"]:
                actual = "is missing" if size is None else f"has {size} bytes"
                raise DataError(
                    f"{path} {actual}", f"{shard['bytes']} bytes", f"restore it, or {RERUN}"
                )
            if compare_hashes:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if digest != shard["sha256"]:
                    raise DataError(
                        f"{path} has changed: sha256 {digest[:12]}…",
                        f"sha256 {shard['sha256'][:12]}…",
                        f"restore it, or {RERUN}",
                    )
