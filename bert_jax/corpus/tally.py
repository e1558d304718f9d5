"""Totals over all bundles: sizes, token counts, duplicates and shards, in bounded memory."""

import numpy as np

from bert_jax.corpus.build import BundleStats, Shard
from bert_jax.corpus.cleaning import Findings
from bert_jax.corpus.duplicates import DuplicateCounter
from bert_jax.corpus.heldout import SPLITS
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


class Tally:
    """Running totals over bundles, in the order in which they come.

    Args:
        vocab_size: number of tokens V.
    """

    def __init__(self, vocab_size: int):
        self.totals = {split: dict.fromkeys(TOTALS, 0) for split in SPLITS}
        self.token_counts = {split: np.zeros(vocab_size, np.int64) for split in SPLITS}
        self.shards: dict[int, dict[str, list[Shard]]] = {}
        self.duplicate_documents = DuplicateCounter()
        self.duplicate_lines = DuplicateCounter()

    def add(self, stats: BundleStats) -> None:
        """Add one bundle."""
        totals = self.totals[stats.split]
        totals["documents"] += stats.num_documents
        totals["lines"] += stats.num_lines
        totals["sentences"] += stats.num_sentences
        totals["characters"] += stats.num_characters
        totals["bytes"] += stats.num_bytes
        totals["tokens"] += int(stats.token_counts.sum())
        totals["documents_without_tokens"] += stats.num_empty_documents
        self.token_counts[stats.split] += stats.token_counts
        self.duplicate_documents.add(stats.document_hashes)
        self.duplicate_lines.add(stats.line_hashes)
        for length, shard in stats.shards.items():
            if not shard.num_rows:
                continue
            self.shards.setdefault(length, {}).setdefault(stats.split, []).append(shard)

    def check_splits(self, eval_share: float, findings: Findings) -> None:
        """Check that the corpus, and each split of it, made rows.

        Raises:
            DataError: the corpus, or a split, has fewer than two different documents.
        """
        num_rows = {
            split: sum(
                shard.num_rows
                for by_split in self.shards.values()
                for shard in by_split.get(split, [])
            )
            for split in SPLITS
        }
        if not any(num_rows.values()):
            reasons = "; ".join(f"{count} x {reason}" for reason, count in findings.counts.items())
            alone = any(reason.startswith("document alone") for reason in findings.counts)
            raise DataError(
                "the corpus holds a single document"
                if alone
                else f"the corpus is empty ({reasons})",
                "at least two different documents: a random next sentence comes from another one",
                "put a blank line between documents, or add text",
            )
        for split, share in (("train", 1 - eval_share), ("eval", eval_share)):
            if share and not num_rows[split]:
                count = self.totals["train"]["documents"] + self.totals["eval"]["documents"]
                raise DataError(
                    f"the {split} split has fewer than two different documents (eval_share "
                    f"{eval_share} of about {count})",
                    "at least two in each split",
                    f"pass --eval-share {min(0.5, max(0.1, 8 / max(count, 1))):.2g}, "
                    "or 0 for no held-out split",
                )
