"""Turn one bundle of documents into one shard of rows per row length: the work of one process.

`build_shards` is a pure function of (bundle, job) apart from the files it writes, so it gives the
same bytes in this process, in another worker, and under Apache Beam.

A bundle's own documents come first: its `members`, counted by `num_own`, of which the pairs are
made. Its `companions` follow; they only lend random next sentences, where all members are one
document.
"""

import dataclasses
import functools
import hashlib
import os
import random
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from bert_jax.corpus.array_records import os_errors
from bert_jax.corpus.bundles import Bundle, Member
from bert_jax.corpus.heldout import hash_text
from bert_jax.corpus.packing import pack
from bert_jax.corpus.pairs import (
    Document,
    Pair,
    cut_long_sentences,
    make_pairs,
    make_sequences,
)
from bert_jax.corpus.rows import RowFormat, gather_rows
from bert_jax.corpus.sentences import split_sentences
from bert_jax.tokenizer.tokenizer import Tokenizer

HISTOGRAM_BINS = 16
MIN_UNKNOWN_SHARE = 0.001  # of the tokens; fewer need no explanation


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything a worker needs besides the bundle."""

    output: str
    """Folder of the prepared data; shards go to T<length>/ in it."""
    tokenizer_sha256: str
    """Hash of the tokenizer in <output>/tokenizer."""
    formats: tuple[RowFormat, ...]
    """Row formats, one for each length."""
    seed: int
    """Seed of the pairs."""
    short_seq_prob: float
    """Probability of a shorter target length."""
    dupe_factor: int
    """Passes over each document."""
    sentences: str
    """"lines" or "split"."""
    language: str
    """Language of the sentence splitter."""


@dataclasses.dataclass
class Shard:
    """One shard's file, and statistics of its rows."""

    path: str
    """File, under a temporary name until the number of shards is known; "" if there are no rows."""
    num_rows: int = 0
    num_pairs: int = 0
    num_random_next: int = 0
    num_same_document: int = 0
    """Random next sentences that came from the same document: must be 0."""
    num_tokens: int = 0
    """Tokens in rows, without padding."""
    num_tokens_read: int = 0
    """Tokens covered by all passes over the documents."""
    num_tokens_cut: int = 0
    """Of those, tokens lost to truncation: in no A, and in no B that follows its A."""
    num_sentences_cut: int = 0
    """Sentences that are longer than a row, and are cut into pieces."""
    num_bytes: int = 0
    sha256: str = ""
    histogram: list[int] = dataclasses.field(default_factory=list)
    """Pairs by length, in HISTOGRAM_BINS equal bins from 0 to T."""


@dataclasses.dataclass
class BundleStats:
    """Statistics of a bundle, and its shards by length."""

    part: int
    split: str
    index: int
    num_documents: int
    num_lines: int
    num_sentences: int
    num_characters: int
    num_bytes: int
    num_empty_documents: int
    """Documents with no tokens left."""
    num_long_words: int
    """Words that are [UNK] because they are too long; 0 where few tokens are [UNK]."""
    longest_word: int
    """Characters of the longest of them."""
    token_counts: np.ndarray
    """int64 [V]: occurrences of each token."""
    document_hashes: np.ndarray
    """uint64: identity of each document that begins in this bundle."""
    line_hashes: np.ndarray
    """uint64: hash of each line."""
    shards: dict[int, Shard]


def build_shards(bundle: Bundle, job: Job) -> BundleStats:
    """Tokenize a bundle, make its pairs, pack them, and write one shard for each length."""
    tokenizer = _load_tokenizer(str(Path(job.output) / "tokenizer"), job.tokenizer_sha256)
    members = bundle.members + bundle.companions
    texts = [member.text.decode("utf-8") for member in members]
    lines = [text.split("\n") for text in texts]
    sentences = (
        [split_sentences(document_lines, job.language) for document_lines in lines]
        if job.sentences == "split"
        else lines
    )
    tokens, documents = _tokenize(tokenizer, members, sentences)
    is_start = ~tokenizer.is_continuation[tokens]
    word_start = np.maximum.accumulate(np.where(is_start, np.arange(len(tokens)), 0))
    num_own = len(bundle.members)  # documents of which pairs are made; companions follow them
    num_own_tokens = sum(d.bounds[-1] - d.bounds[0] for d in documents[:num_own])
    token_counts = np.bincount(tokens[:num_own_tokens], minlength=tokenizer.vocab_size)
    has_unknown = token_counts[tokenizer.unk_id] > MIN_UNKNOWN_SHARE * num_own_tokens
    long_words = tokenizer.long_words(texts[:num_own]) if has_unknown else []
    stats = BundleStats(
        part=bundle.part,
        split=bundle.split,
        index=bundle.index,
        num_documents=sum(not member.continues for member in bundle.members),
        num_lines=sum(map(len, lines[:num_own])),
        num_sentences=sum(map(len, sentences[:num_own])),
        num_characters=sum(map(len, texts[:num_own])),
        num_bytes=sum(len(member.text) for member in bundle.members),
        num_empty_documents=sum(len(d.bounds) < 2 for d in documents[:num_own]),
        num_long_words=len(long_words),
        longest_word=max(long_words, default=0),
        token_counts=token_counts,
        document_hashes=np.array(
            [m.identity for m in bundle.members if not m.continues], np.uint64
        ),
        line_hashes=np.array(
            [hash_text(line) for m in bundle.members for line in m.text.split(b"\n")], np.uint64
        ),
        shards={},
    )
    for row_format in job.formats:
        name = f"{bundle.split}-{bundle.part:05d}-{bundle.index:05d}"
        path = Path(job.output) / row_format.folder_name / f"{name}.tmp"
        rng = random.Random(f"{job.seed}/{name}/{row_format.length}")
        cut = [cut_long_sentences(d, row_format.max_tokens, word_start) for d in documents]
        pairs = _pair_documents(cut, num_own, row_format, job, rng)
        shard = _write_shard(path, row_format, tokenizer, tokens, cut, pairs, rng)
        if pairs:
            shard.num_sentences_cut = sum(
                int((np.diff(d.bounds) > row_format.max_tokens).sum()) for d in documents[:num_own]
            )
            shard.num_tokens_read = job.dupe_factor * int(num_own_tokens)
            shard.num_tokens_cut = shard.num_tokens_read - _count_kept_tokens(pairs)
        stats.shards[row_format.length] = shard
    return stats


@functools.lru_cache(maxsize=2)
def _load_tokenizer(folder: str, sha256: str) -> Tokenizer:
    """Load the tokenizer once per process, so that its word cache stays warm between bundles."""
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.sha256 == sha256, f"tokenizer in {folder} changed while rows were made"
    return tokenizer


def _tokenize(
    tokenizer: Tokenizer, members: list[Member], sentences: list[list[str]]
) -> tuple[np.ndarray, list[Document]]:
    """Return one flat token array, and the bounds in it of each document's non-empty sentences."""
    gap = tokenizer.gap
    tokens, counts = tokenizer.encode_flat(
        [
            f"{gap}{s}" if gap and i and s else s
            for document in sentences
            for i, s in enumerate(document)
        ]
    )
    ends = np.cumsum(counts)
    documents, first = [], 0
    for member, document_sentences in zip(members, sentences, strict=True):
        last = first + len(document_sentences)
        start = int(ends[first - 1]) if first else 0
        nonempty_ends = ends[first:last][counts[first:last] > 0]
        documents.append(Document(member.identity, [start, *nonempty_ends.tolist()]))
        first = last
    return tokens, documents


def _pair_documents(
    documents: list[Document], num_own: int, row_format: RowFormat, job: Job, rng: random.Random
) -> list[Pair]:
    """Make the pairs of all passes over the bundle's own documents, the first `num_own`.

    Without NSP, they are sequences, which need no other document.
    """
    nonempty = [d for d in documents if len(d.bounds) > 1]
    num_own_nonempty = sum(len(d.bounds) > 1 for d in documents[:num_own])
    if row_format.nsp and len({document.identity for document in nonempty}) < 2:
        return []
    make = make_pairs if row_format.nsp else make_sequences
    return [
        pair
        for _ in range(job.dupe_factor)
        for index in range(num_own_nonempty)
        for pair in make(nonempty, index, row_format.max_tokens, job.short_seq_prob, rng)
    ]


def _count_kept_tokens(pairs: list[Pair]) -> int:
    """Count tokens of the documents' own sentences: each is in one A, or in the B after it."""
    return sum(
        p.a_end - p.a_start + (0 if p.is_random_next else p.b_end - p.b_start) for p in pairs
    )


def _write_shard(
    path: Path,
    row_format: RowFormat,
    tokenizer: Tokenizer,
    tokens: np.ndarray,
    documents: list[Document],
    pairs: list[Pair],
    rng: random.Random,
) -> Shard:
    """Pack pairs into rows, shuffle the rows, and write them to an ArrayRecord file."""
    if not pairs:
        return Shard(path="", histogram=[0] * HISTOGRAM_BINS)
    nonempty = [d for d in documents if len(d.bounds) > 1]
    table = np.array(pairs, np.int64).reshape(-1, len(Pair._fields))
    num_special = row_format.length - row_format.max_tokens
    sizes = table[:, 1] - table[:, 0] + table[:, 3] - table[:, 2] + num_special
    rows, slots = pack(sizes, row_format.length, row_format.max_sequences)
    shuffled = list(range(int(rows.max()) + 1))
    rng.shuffle(shuffled)
    rows = np.array(shuffled, np.int64)[rows]
    special_ids = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
    arrays = gather_rows(row_format, tokens, table[:, :5], (rows, slots), special_ids)
    partial = path.with_suffix(".partial")
    with os_errors(partial):
        writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
        for record in row_format.to_records(arrays):
            writer.write(record)
        writer.close()
    os.replace(partial, path)
    data = path.read_bytes()
    bins = (sizes - 1) * HISTOGRAM_BINS // row_format.length
    num_same_document = sum(
        p.is_random_next and nonempty[p.document].identity == nonempty[p.b_document].identity
        for p in pairs
    )
    return Shard(
        path=str(path),
        num_rows=len(shuffled),
        num_pairs=len(pairs),
        num_random_next=int(table[:, 4].sum()),
        num_same_document=num_same_document,
        num_tokens=int(sizes.sum()),
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        histogram=np.bincount(bins, minlength=HISTOGRAM_BINS).tolist(),
    )
