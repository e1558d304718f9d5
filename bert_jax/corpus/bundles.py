"""Bundles of documents: the unit of work of one worker, and of one shard."""

import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator

from bert_jax.corpus.heldout import SPLITS, assign_split, hash_text
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.readers import Text, read_texts
from bert_jax.reading.sources import ReadOptions, Source

COMPANION_BYTES = 1 << 16  # kept of an earlier document, as a source of random next sentences
MAX_BUNDLES_PENDING = 8  # a first document may be this many bundles long before a second must come


@dataclasses.dataclass(frozen=True)
class BundleOptions:
    """Options of cutting a corpus into splits and bundles."""

    bundle_bytes: int
    """Size of a bundle's text."""
    eval_share: float
    """Share of documents held out."""
    seed: int
    """Seed of the held-out split."""
    documents_needed: int = 2
    """Different documents that a bundle needs: with NSP two, since a random next sentence comes
    from another document; without NSP one."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A document, or a piece of one, in a bundle."""

    identity: int
    """64-bit hash of the document's clean text (of its first piece, for a long one)."""
    text: bytes
    """Clean lines as UTF-8, joined by newlines."""
    continues: bool = False
    """True for a later piece of a document that began before."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Documents that one call turns into one shard."""

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
    """Sources, and options of reading and cutting them: enough to read any part anywhere."""

    parts: tuple[tuple[Source, ...], ...]
    """Groups of sources; no bundle spans two of them."""
    read_options: ReadOptions
    bundle_options: BundleOptions

    @property
    def num_bytes(self) -> int:
        """Size of the text, by rule of thumb for compressed files."""
        return sum(source.text_bytes for part in self.parts for source in part)

    def members(self, findings: Findings) -> Iterator[Member]:
        """Iterate over all documents."""
        for part in self.parts:
            yield from read_members(part, self.read_options, findings)

    def texts(self, findings: Findings) -> Iterator[str]:
        """Iterate over the clean texts of all documents."""
        return (member.text.decode() for member in self.members(findings))

    def bundles(self, part: int, findings: Findings) -> Iterator[Bundle]:
        """Iterate over the bundles of part number `part`."""
        members = read_members(self.parts[part], self.read_options, findings)
        return cut_bundles(members, part, self.bundle_options, findings)


def read_members(
    part: Iterable[Source], options: ReadOptions, findings: Findings
) -> Iterator[Member]:
    """Read all documents of a part, with their identities."""
    identity = 0
    for source in part:
        for text, continues in _read_source(source, options, findings):
            data = text.encode("utf-8", "replace")
            if not continues:
                identity = hash_text(data)
            yield Member(identity, data, continues)


def _read_source(source: Source, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    """Read a source's documents, and count a source that has none."""
    empty = True
    for text in read_texts(source, options, findings):
        empty = False
        yield text
    if empty:
        findings.add("file without text", source.name)


def cut_bundles(
    members: Iterable[Member], part: int, options: BundleOptions, findings: Findings
) -> Iterator[Bundle]:
    """Cut a part's documents into bundles, each with as many different documents as it needs.

    A split that has fewer in this part yields no bundle; its document is counted in `findings`.

    Raises:
        DataError: the first document is MAX_BUNDLES_PENDING bundles long, and no other has come.
    """
    builders = {split: _BundleBuilder(part, split, options) for split in SPLITS}
    for member in members:
        split = assign_split(member.identity, options.eval_share, options.seed)
        yield from builders[split].add(member)
    for builder in builders.values():
        yield from builder.finish(findings)


class _BundleBuilder:
    """Collect the documents of one split until they fill a bundle."""

    def __init__(self, part: int, split: str, options: BundleOptions):
        self.part, self.split, self.options = part, split, options
        self.index = 0
        self.members: list[Member] = []
        self.num_bytes = 0
        self.recent: dict[int, Member] = {}  # the last three different documents, shortened

    def add(self, member: Member) -> Iterator[Bundle]:
        self.members.append(member)
        self.num_bytes += len(member.text)
        if member.identity not in self.recent and has_tokens(member.text):
            self.recent[member.identity] = dataclasses.replace(member, text=_head(member.text))
            if len(self.recent) > 3:
                del self.recent[next(iter(self.recent))]
        limit = self.options.bundle_bytes
        if self.num_bytes >= limit and self._has_enough():
            yield self._make_bundle()
        elif self.num_bytes >= MAX_BUNDLES_PENDING * limit:
            raise long_document_error(member, self.num_bytes)

    def _has_enough(self) -> bool:
        return len(self.recent) >= self.options.documents_needed

    def finish(self, findings: Findings) -> Iterator[Bundle]:
        if self.members and self._has_enough():
            yield self._make_bundle()
        elif self.members:
            reason, (alone,) = "document alone in its split", self.recent.values() or (None,)
            if alone is None:
                reason, alone = "documents without a visible character", self.members[0]
            findings.add(
                f"{reason} ({self.split}; left out)",
                f"part {self.part}: {alone.text[:40].decode('utf-8', 'replace')}",
            )

    def _make_bundle(self) -> Bundle:
        identities = {m.identity for m in self.members if has_tokens(m.text)}
        others = [m for identity, m in self.recent.items() if identity not in identities]
        companions = [] if len(identities) >= self.options.documents_needed else others[-2:]
        bundle = Bundle(self.part, self.split, self.index, self.members, companions)
        self.index, self.members, self.num_bytes = self.index + 1, [], 0
        return bundle


def long_document_error(member: Member, num_bytes: int) -> DataError:
    """Return the error for a document that is too long to wait for a second one."""
    return DataError(
        f"the first document alone is longer than {num_bytes >> 20} MB: "
        f"{member.text[:40].decode('utf-8', 'replace')!r} …",
        "documents with a blank line between them",
        "put blank lines between documents (--documents lines if each line is one), raise "
        "--bundle-mb, or pass --no-nsp",
    )


def has_tokens(text: bytes) -> bool:
    """Return whether the beginning of a text has a character that every tokenizer keeps.

    Other characters, such as U+200B, are removed, or may be, as accents are; a text of nothing else
    has no tokens.
    """
    kinds = (unicodedata.category(c)[0] for c in _head(text).decode() if c != "\ufffd")
    return any(kind in "LNPS" for kind in kinds)


def _head(text: bytes) -> bytes:
    """Return the first COMPANION_BYTES of a text, without a character cut in half."""
    return text[:COMPANION_BYTES].decode("utf-8", "ignore").encode()
