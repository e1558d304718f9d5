"""One bundle of documents to one shard of rows for each length: the work of one process.

`build_shards` is a pure function of (bundle, job) but for the files it writes, so it gives the same
bytes in a local process, in another worker's, and under Apache Beam.
"""

import dataclasses
import functools
import hashlib
import os
import random
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from bert_jax.data.bundles import Bundle, Member, identity_of
from bert_jax.data.packing import pack
from bert_jax.data.pairs import Document, Pair, make_pairs
from bert_jax.data.rows import RowFormat, gather_rows
from bert_jax.data.sentences import split_lines
from bert_jax.data.tokenizer import Tokenizer

HISTOGRAM_BINS = 16


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker needs to know beside the bundle."""

    output: str
    """Folder of the prepared data; shards go to T<length>/ in it."""
    tokenizer_sha256: str
    """Hash of the tokenizer in <output>/tokenizer."""
    formats: tuple[RowFormat, ...]
    """One for each length."""
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
    """What went into one shard."""

    path: str
    """File, under a temporary name until the number of shards is known; "" if there are no rows."""
    rows: int = 0
    pairs: int = 0
    random_next: int = 0
    same_document: int = 0
    """Random next sentences that came from the same document: must be 0."""
    tokens: int = 0
    """Tokens in rows, without padding."""
    tokens_read: int = 0
    """Tokens that the passes over the documents went over."""
    tokens_cut: int = 0
    """Of those, the ones that truncation took: in no A and in no B that is the actual next."""
    num_bytes: int = 0
    sha256: str = ""
    histogram: list[int] = dataclasses.field(default_factory=list)
    """Pairs by length, in HISTOGRAM_BINS equal bins from 0 to T."""


@dataclasses.dataclass
class Built:
    """What a bundle held, and its shards by length."""

    part: int
    split: str
    index: int
    documents: int
    lines: int
    sentences: int
    characters: int
    num_bytes: int
    dropped_documents: int
    """Documents of which no token was left."""
    token_counts: np.ndarray
    """int64 [V]: how often each token occurs."""
    document_hashes: np.ndarray
    """uint64: identity of each document that begins here."""
    line_hashes: np.ndarray
    """uint64: hash of each line."""
    shards: dict[int, Shard]


def build_shards(bundle: Bundle, job: Job) -> Built:
    """Tokenises a bundle, makes its pairs, packs them, and writes one shard for each length."""
    tokenizer = _tokenizer(str(Path(job.output) / "tokenizer"), job.tokenizer_sha256)
    members = bundle.members + bundle.companions
    texts = [member.text.decode("utf-8") for member in members]
    lines = [text.split("\n") for text in texts]
    sentences = (
        [split_lines(of_document, job.language) for of_document in lines]
        if job.sentences == "split"
        else lines
    )
    tokens, documents = _tokenise(tokenizer, members, sentences)
    own = len(bundle.members)
    own_tokens = sum(d.bounds[-1] - d.bounds[0] for d in documents[:own])
    built = Built(
        part=bundle.part,
        split=bundle.split,
        index=bundle.index,
        documents=sum(not member.continues for member in bundle.members),
        lines=sum(map(len, lines[:own])),
        sentences=sum(map(len, sentences[:own])),
        characters=sum(map(len, texts[:own])),
        num_bytes=sum(len(member.text) for member in bundle.members),
        dropped_documents=sum(len(d.bounds) < 2 for d in documents[:own]),
        token_counts=np.bincount(tokens[:own_tokens], minlength=tokenizer.vocab_size),
        document_hashes=np.array(
            [m.identity for m in bundle.members if not m.continues], np.uint64
        ),
        line_hashes=np.array(
            [identity_of(line) for m in bundle.members for line in m.text.split(b"\n")], np.uint64
        ),
        shards={},
    )
    for row_format in job.formats:
        name = f"{bundle.split}-{bundle.part:05d}-{bundle.index:05d}"
        path = Path(job.output) / f"T{row_format.length}" / f"{name}.tmp"
        rng = random.Random(f"{job.seed}/{name}/{row_format.length}")
        pairs = _all_pairs(documents, own, row_format, job, rng)
        shard = _write_shard(path, row_format, tokenizer, tokens, documents, pairs, rng)
        if pairs:
            shard.tokens_read = job.dupe_factor * int(own_tokens)
            shard.tokens_cut = shard.tokens_read - _tokens_kept(pairs)
        built.shards[row_format.length] = shard
    return built


@functools.lru_cache(maxsize=2)
def _tokenizer(folder: str, sha256: str) -> Tokenizer:
    """A process reads its tokenizer once, and its word cache stays warm from bundle to bundle."""
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.sha256 == sha256, f"tokenizer in {folder} changed while rows were made"
    return tokenizer


def _tokenise(
    tokenizer: Tokenizer, members: list[Member], sentences: list[list[str]]
) -> tuple[np.ndarray, list[Document]]:
    """One flat token array, and where in it each document's (non-empty) sentences lie."""
    tokens, counts = tokenizer.encode_flat([s for document in sentences for s in document])
    ends = np.cumsum(counts)
    documents, first = [], 0
    for member, of_document in zip(members, sentences, strict=True):
        last = first + len(of_document)
        start = int(ends[first - 1]) if first else 0
        own = ends[first:last][counts[first:last] > 0]
        documents.append(Document(member.identity, [start, *own.tolist()]))
        first = last
    return tokens, documents


def _all_pairs(
    documents: list[Document], own: int, row_format: RowFormat, job: Job, rng: random.Random
) -> list[Pair]:
    """The pairs of all passes over the bundle's own documents."""
    filled = [d for d in documents if len(d.bounds) > 1]
    num_own = sum(len(d.bounds) > 1 for d in documents[:own])
    if len({document.identity for document in filled}) < 2:
        return []
    return [
        pair
        for _ in range(job.dupe_factor)
        for index in range(num_own)
        for pair in make_pairs(filled, index, row_format.length - 3, job.short_seq_prob, rng)
    ]


def _tokens_kept(pairs: list[Pair]) -> int:
    """Tokens of the documents' own sentences: every one comes once, in an A or an actual B."""
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
    if not pairs:
        return Shard(path="", histogram=[0] * HISTOGRAM_BINS)
    filled = [d for d in documents if len(d.bounds) > 1]
    table = np.array(pairs, np.int64).reshape(-1, len(Pair._fields))
    sizes = table[:, 1] - table[:, 0] + table[:, 3] - table[:, 2] + 3
    rows, slots = pack(sizes, row_format.length, row_format.max_sequences)
    shuffled = list(range(int(rows.max()) + 1))
    rng.shuffle(shuffled)
    rows = np.array(shuffled, np.int64)[rows]
    special_ids = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
    arrays = gather_rows(row_format, tokens, table[:, :5], (rows, slots), special_ids)
    partial = path.with_suffix(".partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
    for record in row_format.write(arrays):
        writer.write(record)
    writer.close()
    os.replace(partial, path)
    data = path.read_bytes()
    bins = (sizes - 1) * HISTOGRAM_BINS // row_format.length
    same = sum(
        p.is_random_next and filled[p.document].identity == filled[p.b_document].identity
        for p in pairs
    )
    return Shard(
        path=str(path),
        rows=len(shuffled),
        pairs=len(pairs),
        random_next=int(table[:, 4].sum()),
        same_document=same,
        tokens=int(sizes.sum()),
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        histogram=np.bincount(bins, minlength=HISTOGRAM_BINS).tolist(),
    )
