"""The held-out split: by document, by a hash of its clean text.

The hash also tells whether two documents are the same. Exact duplicates therefore share a split,
and are never each other's "random next document".
"""

import hashlib

SPLITS = ("train", "eval")


def hash_text(text: bytes) -> int:
    """Return the 64-bit BLAKE2b hash of a clean text."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def draw_number(identity: int, seed: int) -> int:
    """Return a document's random number below 2^64; it is held out if that is small enough.

    Args:
        identity: hash of the document's clean text.
        seed: seed of the split.
    """
    return hash_text(f"{seed}/{identity}".encode())


def assign_split(identity: int, eval_share: float, seed: int) -> str:
    """Return the split, "train" or "eval", of the document with this hash.

    Args:
        identity: hash of the document's clean text.
        eval_share: share of documents that are held out.
        seed: seed of the split.
    """
    return "eval" if draw_number(identity, seed) < eval_share * 2**64 else "train"
