"""Totals over all bundles: sizes, token counts, duplicates and shards, in bounded memory."""

import numpy as np

from bert_jax.corpus.build import BundleStats, Shard
from bert_jax.corpus.bundles import BundleOptions
from bert_jax.corpus.census import single_document_error, split_error
from bert_jax.corpus.duplicates import DuplicateCounter
from bert_jax.corpus.heldout import SPLITS
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings

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
        self.num_long_words = self.longest_word = 0
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
        self.num_long_words += stats.num_long_words
        self.longest_word = max(self.longest_word, stats.longest_word)
        self.duplicate_documents.add(stats.document_hashes)
        self.duplicate_lines.add(stats.line_hashes)
        for length, shard in stats.shards.items():
            if not shard.num_rows:
                continue
            self.shards.setdefault(length, {}).setdefault(stats.split, []).append(shard)

    def check_splits(self, options: BundleOptions, findings: Findings) -> None:
        """Check that the corpus, and each split of it that is asked for, made rows.

        Raises:
            DataError: the corpus, or a split, has too few different documents.
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
            if any(reason.startswith("document alone") for reason in findings.counts):
                raise single_document_error()
            reasons = "; ".join(f"{count} x {reason}" for reason, count in findings.counts.items())
            raise DataError(
                f"the corpus is empty ({reasons or 'no text'})",
                "text with letters",
                "check the input files",
            )
        share = options.eval_share
        for split, asked in (("train", 1 - share), ("eval", share)):
            if asked and not num_rows[split]:
                count = sum(totals["documents"] for totals in self.totals.values())
                fix = "add documents, or pass --eval-share 0 to hold none out"
                raise split_error(split, options, count, fix)
