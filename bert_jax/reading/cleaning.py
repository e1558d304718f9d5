"""Cleaning: turn bytes into clean lines; everything removed is counted, with its location."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 1 << 18
MAX_LINE_CHARS = 1 << 20  # longer lines are cut at white space
MAX_EXAMPLES = 3  # locations listed for each reason

# Characters that send a block's lines through `clean_line`: control characters but tab and newline,
# Unicode's line and paragraph separators, byte order marks, the replacement character, surrogates
# (which JSON can hold).
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffd\ud800-\udfff]")
_CONTROL_BYTES = bytes({*range(32), 127} - set(b"\t\n"))
_C1_BYTES = re.compile(rb"\xc2[\x80-\x9f]")
_RULES = (
    (re.compile("\ufffd"), "\ufffd", "line with bytes that cannot be decoded (replaced)"),
    (re.compile("\x00"), "", "line with NUL characters (removed)"),
    (re.compile("\r"), " ", "line with a lone carriage return (made a space)"),
    (re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]"), "", "line with control characters (removed)"),
    (re.compile("[\u2028\u2029]"), " ", "line with U+2028 or U+2029 (made a space)"),
    (re.compile("\ufeff"), "", "line with a byte order mark inside (removed)"),
    (re.compile("[\ud800-\udfff]"), "\ufffd", "line with lone surrogates (replaced)"),
)  # fmt: skip


class Findings:
    """Counts of defects in the input, by reason, with the first locations of each."""

    def __init__(self):
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, location: str, count: int = 1) -> None:
        """Count one more case of a reason, at a location ("file:line")."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        examples = self.examples.setdefault(reason, [])
        if len(examples) < MAX_EXAMPLES and location not in examples:
            examples.append(location)

    def summary(self) -> Iterator[str]:
        """Iterate over the reasons as text, each with its count and first location."""
        for reason, count in self.counts.items():
            yield f"{count:,} x {reason}, first {self.examples[reason][0]}"

    def merge(self, other: "Findings") -> None:
        """Add the counts and locations of other findings."""
        for reason, count in other.counts.items():
            for location in other.examples[reason]:
                self.add(reason, location, 0)
            self.counts[reason] += count


def clean_line(line: str, location: str, findings: Findings) -> str:
    """Remove or replace characters that are not text, and strip white space."""
    line = line.strip(" \t\r\n")  # Python's other white space is removed, and counted, below
    if _UNCLEAN.search(line):
        for pattern, replacement, reason in _RULES:
            line, num_replaced = pattern.subn(replacement, line)
            if num_replaced:
                findings.add(reason, location)
    return line.strip()


def clean_lines(stream: BinaryIO, name: str, findings: Findings) -> Iterator[str]:
    """Iterate over the lines of a UTF-8 text, clean and stripped; a blank line is "".

    Lines end at "\\n" only. A line of more than MAX_LINE_CHARS comes in several pieces, cut at
    white space, so that memory stays bounded; where it is cut depends on the line alone.
    """
    decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
    number, rest, final, block, unclean = 1, "", False, b"", False
    while not final:
        last_byte, block = block[-1:], stream.read(BLOCK_BYTES)
        final = not block
        text = rest + decode(block, final)
        unclean = unclean or _may_be_unclean(last_byte + block, text)
        lines = text.split("\n")
        rest = "" if final else lines.pop()
        for line in lines:
            if unclean or _num_chars(line) > MAX_LINE_CHARS:
                location = f"{name}:{number}"
                *pieces, line = split_long_line(line, location, findings)
                yield from filter(None, (clean_line(piece, location, findings) for piece in pieces))
                yield clean_line(line, location, findings)
            else:
                yield line.strip()
            number += 1
        if _num_chars(rest) > MAX_LINE_CHARS:
            location = f"{name}:{number}"
            *pieces, rest = split_long_line(rest, location, findings)
            yield from filter(None, (clean_line(piece, location, findings) for piece in pieces))
        unclean = unclean and _UNCLEAN.search(rest) is not None


def _may_be_unclean(data: bytes, text: str) -> bool:
    """Return whether `_UNCLEAN` may match a decoded block; faster than searching for it."""
    return (
        len(data.translate(None, _CONTROL_BYTES)) < len(data)
        or _C1_BYTES.search(data) is not None
        or any(character in text for character in "\u2028\u2029\ufeff\ufffd")
    )


def split_long_line(line: str, location: str, findings: Findings) -> list[str]:
    """Split a line at the last space of each MAX_LINE_CHARS; the last piece may still grow."""
    pieces = []
    start, size = 0, _num_chars(line)
    while size - start > MAX_LINE_CHARS:
        end = line.rfind(" ", start, start + MAX_LINE_CHARS) + 1 or start + MAX_LINE_CHARS
        pieces.append(line[start:end])
        findings.add(f"line longer than {MAX_LINE_CHARS} characters (cuts)", location)
        start = end
    return [*pieces, line[start:]]


def _num_chars(line: str) -> int:
    """Count characters, except a carriage return that may be part of the line's end."""
    return len(line) - line.endswith("\r")
