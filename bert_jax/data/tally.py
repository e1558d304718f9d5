"""Adds up what the bundles held, in bounded memory."""

import numpy as np

from bert_jax.data.build import Built, Shard
from bert_jax.data.bundles import SPLITS
from bert_jax.data.cleaning import Findings
from bert_jax.errors import DataError

TOTALS = (
    "documents",
    "lines",
    "sentences",
    "characters",
    "bytes",
    "tokens",
    "documents_without_tokens",
)
MOST_HASHES = 1 << 24  # hashes of lines kept for finding duplicates: 128 MB


class HashSample:
    """Counts duplicates among 64-bit hashes in bounded memory.

    All hashes are kept up to a limit; beyond it, only those of a half, a quarter, … of all possible
    values, which estimates the share of duplicates without bias, because equal texts are kept or
    dropped together.
    """

    def __init__(self, limit: int = MOST_HASHES):
        self.limit = limit
        self.seen = 0
        self.shift = 0
        self._kept = np.zeros(0, np.uint64)
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0

    def add(self, hashes: np.ndarray) -> None:
        """Takes in more hashes."""
        self.seen += len(hashes)
        chosen = self._choose(hashes)
        self._waiting.append(chosen)
        self._num_waiting += len(chosen)
        if self._num_waiting > self.limit // 4:
            self._settle()

    def _choose(self, hashes: np.ndarray) -> np.ndarray:
        return hashes[hashes & np.uint64((1 << self.shift) - 1) == 0]

    def _settle(self) -> None:
        self._kept = np.concatenate([self._kept, *self._waiting])
        self._waiting, self._num_waiting = [], 0
        while len(self._kept) > self.limit:
            self.shift += 1
            self._kept = self._choose(self._kept)

    def duplicate_share(self) -> float:
        """Share of texts that had occurred before; exact while `shift` is 0."""
        self._settle()
        if not len(self._kept):
            return 0.0
        return 1 - len(np.unique(self._kept)) / len(self._kept)


class Tally:
    """Adds up what the bundles held, in the order in which they come."""

    def __init__(self, vocab_size: int):
        self.totals = {split: dict.fromkeys(TOTALS, 0) for split in SPLITS}
        self.token_counts = {split: np.zeros(vocab_size, np.int64) for split in SPLITS}
        self.shards: dict[int, dict[str, list[Shard]]] = {}
        self.documents, self.lines = HashSample(), HashSample()

    def add(self, built: Built) -> None:
        """Takes in one bundle."""
        totals = self.totals[built.split]
        totals["documents"] += built.documents
        totals["lines"] += built.lines
        totals["sentences"] += built.sentences
        totals["characters"] += built.characters
        totals["bytes"] += built.num_bytes
        totals["tokens"] += int(built.token_counts.sum())
        totals["documents_without_tokens"] += built.dropped_documents
        self.token_counts[built.split] += built.token_counts
        self.documents.add(built.document_hashes)
        self.lines.add(built.line_hashes)
        for length, shard in built.shards.items():
            if not shard.rows:
                continue
            self.shards.setdefault(length, {}).setdefault(built.split, []).append(shard)

    def refuse_what_cannot_work(self, eval_share: float, findings: Findings) -> None:
        """Raises a DataError for a corpus, or a split of it, without two different documents."""
        rows = {
            split: sum(s.rows for by_split in self.shards.values() for s in by_split.get(split, []))
            for split in SPLITS
        }
        if not any(rows.values()):
            found = "; ".join(f"{count} x {reason}" for reason, count in findings.counts.items())
            alone = any(reason.startswith("document alone") for reason in findings.counts)
            raise DataError(
                "the corpus holds a single document" if alone else f"the corpus is empty ({found})",
                "at least two different documents: a random next sentence comes from another one",
                "put a blank line between documents, or add text",
            )
        for split, share in (("train", 1 - eval_share), ("eval", eval_share)):
            if share and not rows[split]:
                documents = self.totals["train"]["documents"] + self.totals["eval"]["documents"]
                raise DataError(
                    f"the {split} split has fewer than two different documents (eval_share "
                    f"{eval_share} of about {documents})",
                    "at least two in each split",
                    f"pass --eval-share {min(0.5, max(0.1, 8 / max(documents, 1))):.2g}, "
                    "or 0 for no held-out split",
                )
