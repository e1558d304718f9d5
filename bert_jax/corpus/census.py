"""The census of documents: which splits will have rows, known before a row is made."""

import math

from bert_jax.corpus.bundles import (
    MAX_BUNDLES_PENDING,
    BundleOptions,
    Member,
    has_tokens,
    long_document_error,
)
from bert_jax.corpus.heldout import SPLITS, assign_split, draw_number
from bert_jax.errors import DataError

MAX_ADVISED_SHARE = 0.5


class Census:
    """Count documents, and find the shares of held-out documents at which each split has rows.

    A split has rows if one part of the corpus has enough different documents in it. A document is
    held out if its number is below the share, so each split's condition is a bound on the share.

    Args:
        options: share of held-out documents, seed, and how many documents are enough.
    """

    def __init__(self, options: BundleOptions):
        self.options = options
        self.num_documents = 0
        self.eval_above = 1.0
        """The eval split has rows if its share of documents is above this."""
        self.train_up_to = -1.0
        """The train split has rows if the eval split's share is at most this."""
        self._any_text = False
        self.start_part()

    def start_part(self) -> None:
        """Begin the next part of the corpus."""
        # its lowest and highest numbers, as many as are needed
        self._numbers: list[float] = []
        self._first: dict[str, set[int]] = {split: set() for split in SPLITS}
        self._first_bytes = dict.fromkeys(SPLITS, 0)

    def add(self, member: Member) -> None:
        """Count a document, or a piece of one.

        Raises:
            DataError: the first documents of a split are too long to be cut into bundles.
        """
        self._add_first(member)
        if member.continues:
            return
        self.num_documents += 1
        needed = self.options.documents_needed
        number = draw_number(member.identity, self.options.seed) / 2**64
        numbers = sorted({*self._numbers, number})
        kept = sorted({*numbers[:needed], *numbers[-needed:]})
        if kept == self._numbers or not has_tokens(member.text):
            return
        self._numbers, self._any_text = kept, True
        if len(kept) >= needed:
            self.eval_above = min(self.eval_above, kept[needed - 1])
            self.train_up_to = max(self.train_up_to, kept[-needed])

    def _add_first(self, member: Member) -> None:
        """Check the length of a split's text up to where it has as many documents as it needs."""
        options = self.options
        split = assign_split(member.identity, options.eval_share, options.seed)
        first = self._first[split]
        if len(first) >= options.documents_needed:
            return
        self._first_bytes[split] += len(member.text)
        if has_tokens(member.text):
            first.add(member.identity)
        limit = MAX_BUNDLES_PENDING * options.bundle_bytes
        if len(first) < options.documents_needed and self._first_bytes[split] >= limit:
            raise long_document_error(member, self._first_bytes[split])

    def has_rows(self, split: str) -> bool:
        """Return whether a split will have rows."""
        share = self.options.eval_share
        return share <= self.train_up_to if split == "train" else share > self.eval_above

    def check(self) -> None:
        """Check that each split that is asked for will have rows.

        Raises:
            DataError: the corpus, or a split, has too few different documents.
        """
        share = self.options.eval_share
        if not self._any_text:  # there will be an error that names the reason
            return
        if self.eval_above == 1:
            raise single_document_error()
        for split, asked in (("train", 1 - share), ("eval", share)):
            if asked and not self.has_rows(split):
                raise split_error(split, self.options, self.num_documents, self._advice())

    def _advice(self) -> str:
        """Return a share at which both splits have rows, as an option."""
        usual = min(MAX_ADVISED_SHARE, max(0.1, 8 / self.num_documents))
        for share in (usual, self.eval_above + 0.005):
            share = math.ceil(share * 100) / 100
            if self.eval_above < share <= min(self.train_up_to, MAX_ADVISED_SHARE):
                return f"pass --eval-share {share:.2g}, or 0 to hold no documents out"
        return "add documents, or pass --eval-share 0 to hold none out"


def single_document_error() -> DataError:
    """Return the error for a corpus of one document, which has no random next sentences."""
    return DataError(
        "the corpus holds a single document",
        "at least two different documents: a random next sentence comes from another one",
        "put a blank line between documents (--documents lines if each line is one), add text, or "
        "pass --no-nsp",
    )


def split_error(split: str, options: BundleOptions, num_documents: int, fix: str) -> DataError:
    """Return the error for a split that has too few different documents."""
    too_few = (
        "fewer than two different documents" if options.documents_needed > 1 else "no document"
    )
    return DataError(
        f"the {split} split has {too_few} (--eval-share {options.eval_share} of "
        f"{num_documents:,} documents)",
        f"at least {options.documents_needed} in each of {' and '.join(SPLITS)}",
        fix,
    )
