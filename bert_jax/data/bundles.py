"""Documents to bundles: the unit of work of one worker, and of one shard.

Which split a document goes to, and whether two documents are the same, is decided by a hash of its
clean text alone: exact duplicates are in the same split, and are never each other's "random next
document".
"""

import dataclasses
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator

from bert_jax.data.cleaning import Findings
from bert_jax.data.readers import Text, read_texts
from bert_jax.data.sources import ReadOptions, Source
from bert_jax.errors import DataError

COMPANION_BYTES = 1 << 16  # of a document from before, kept for drawing random next sentences from
MAX_BUNDLES_PENDING = 8  # a first document may be this many bundles long before a second must come
SPLITS = ("train", "eval")


@dataclasses.dataclass(frozen=True)
class BundleOptions:
    """How a corpus is cut."""

    bundle_bytes: int
    """Text in a bundle."""
    eval_share: float
    """Share of documents held out."""
    seed: int
    """Seed of the held-out split."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A document, or a piece of one, in a bundle."""

    identity: int
    """64-bit hash of the document's clean text (of its first piece, for a long one)."""
    text: bytes
    """Clean lines as UTF-8, joined by newlines."""
    continues: bool = False
    """Whether it goes on with a document that began before."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Documents that are turned into one shard, by one call."""

    part: int
    """Number of the part of the corpus."""
    split: str
    """"train" or "eval"."""
    index: int
    """Number within part and split."""
    members: list[Member]
    """Documents that pairs are made of."""
    companions: list[Member]
    """Documents that only lend random next sentences, where all members are one document."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A corpus, and how it is read and cut: enough to read any part of it anywhere."""

    parts: tuple[tuple[Source, ...], ...]
    """Groups of sources; bundles do not reach over them."""
    reading: ReadOptions
    cutting: BundleOptions

    @property
    def num_bytes(self) -> int:
        """Size of the text, by rule of thumb for compressed files."""
        return sum(source.text_bytes for part in self.parts for source in part)

    def members(self, findings: Findings) -> Iterator[Member]:
        """All documents."""
        for part in self.parts:
            yield from read_members(part, self.reading, findings)

    def bundles(self, number: int, findings: Findings) -> Iterator[Bundle]:
        """The bundles of one part."""
        members = read_members(self.parts[number], self.reading, findings)
        return cut_bundles(members, number, self.cutting, findings)


def identity_of(text: bytes) -> int:
    """64-bit hash of a document's clean text."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def split_of(identity: int, options: BundleOptions) -> str:
    """The split that a document belongs to."""
    data = f"{options.seed}/{identity}".encode()
    draw = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    return "eval" if draw < options.eval_share * 2**64 else "train"


def read_members(
    part: Iterable[Source], options: ReadOptions, findings: Findings
) -> Iterator[Member]:
    """All documents of a part, with their identities."""
    identity = 0
    for source in part:
        for text, continues in _texts(source, options, findings):
            data = text.encode("utf-8", "replace")
            if not continues:
                identity = identity_of(data)
            yield Member(identity, data, continues)


def _texts(source: Source, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    empty = True
    for text in read_texts(source, options, findings):
        empty = False
        yield text
    if empty:
        findings.add("file without text", source.name)


def cut_bundles(
    members: Iterable[Member], part: int, options: BundleOptions, findings: Findings
) -> Iterator[Bundle]:
    """Cuts a part's documents into bundles, each with two different documents or more.

    A split that has one document only in this part yields nothing for it, and the document is
    counted in `findings`.
    """
    cutters = {split: _Cutter(part, split, options) for split in SPLITS}
    for member in members:
        yield from cutters[split_of(member.identity, options)].add(member)
    for cutter in cutters.values():
        yield from cutter.finish(findings)


class _Cutter:
    """Collects the documents of one split until there is a bundle of them."""

    def __init__(self, part: int, split: str, options: BundleOptions):
        self.part, self.split, self.options = part, split, options
        self.index = 0
        self.members: list[Member] = []
        self.size = 0
        self.recent: dict[int, Member] = {}  # the last three different documents, shortened

    def add(self, member: Member) -> Iterator[Bundle]:
        self.members.append(member)
        self.size += len(member.text)
        if member.identity not in self.recent and has_tokens(member.text):
            self.recent[member.identity] = dataclasses.replace(member, text=_head(member.text))
            if len(self.recent) > 3:
                del self.recent[next(iter(self.recent))]
        limit = self.options.bundle_bytes
        if self.size >= limit and len(self.recent) > 1:
            yield self._bundle()
        elif self.size >= MAX_BUNDLES_PENDING * limit:
            raise DataError(
                f"the first document alone is longer than {self.size >> 20} MB: "
                f"{member.text[:40].decode('utf-8', 'replace')!r} …",
                "documents with a blank line between them",
                "put blank lines between documents, or raise --bundle-mb",
            )

    def finish(self, findings: Findings) -> Iterator[Bundle]:
        if self.members and len(self.recent) > 1:
            yield self._bundle()
        elif self.members:
            (alone,) = self.recent.values() or self.members[:1]
            findings.add(
                f"document alone in its split ({self.split}; left out)",
                f"part {self.part}: {alone.text[:40].decode('utf-8', 'replace')}",
            )

    def _bundle(self) -> Bundle:
        identities = {m.identity for m in self.members if has_tokens(m.text)}
        others = [m for identity, m in self.recent.items() if identity not in identities]
        companions = [] if len(identities) > 1 else others[-2:]
        bundle = Bundle(self.part, self.split, self.index, self.members, companions)
        self.index, self.members, self.size = self.index + 1, [], 0
        return bundle


def has_tokens(text: bytes) -> bool:
    """Whether the beginning of a text has a character of which every tokenizer makes a token.

    Others are taken out (U+200B, say) or may be, as accents are: of such a text nothing is left.
    """
    kinds = (unicodedata.category(c)[0] for c in _head(text).decode() if c != "\ufffd")
    return any(kind in "LNPS" for kind in kinds)


def _head(text: bytes) -> bytes:
    """The first lines of a text, up to COMPANION_BYTES."""
    return text[:COMPANION_BYTES].decode("utf-8", "ignore").encode()
