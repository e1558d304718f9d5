"""Encodings: any text as UTF-8, and the likely encoding of text that is not UTF-8."""

import codecs
import io
import re
import shlex
from typing import BinaryIO

from bert_jax.errors import DataError

BLOCK_BYTES = 1 << 18
MAX_GUESSES = 4  # encodings named where several fit
# The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ICONV_NAMES = {
    "BIG5HKSCS": "BIG5-HKSCS",
    "EUC-JIS-2004": "EUC-JISX0213",
    "MAC-ROMAN": "MACINTOSH",
    "SHIFT-JIS-2004": "SHIFT_JISX0213",
    "SHIFT-JISX0213": "SHIFT_JISX0213",
}
_NOT_IN_ICONV = re.compile("hz|mac-[^rc]|cp1006|cp720|kz1048|ptcp154|iso2022_jp_(1|2004|ext)")


class Recoded(io.RawIOBase):
    """A text stream in another encoding, as UTF-8; what cannot be decoded becomes U+FFFD."""

    def __init__(self, stream: BinaryIO, encoding: str):
        self._stream = stream
        self._decode = codecs.getincrementaldecoder(encoding)("replace").decode
        self._pending = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True, as `io.BufferedReader` requires."""
        return True

    def readinto(self, buffer) -> int:
        """Fill a buffer, as `io.BufferedReader` asks for it."""
        while not self._pending and not self._ended:
            block = self._stream.read(BLOCK_BYTES)
            self._ended = not block
            self._pending = self._decode(block, self._ended).encode("utf-8", "replace")
        size = min(len(buffer), len(self._pending))
        buffer[:size], self._pending = self._pending[:size], self._pending[size:]
        return size


def is_utf8(encoding: str | None) -> bool:
    """Return whether an encoding is UTF-8, as it is if none is given."""
    return encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def refuse_marks(name: str, head: bytes, has_option: bool = True) -> None:
    """Refuse a file, read as UTF-8, that begins with the byte order mark of UTF-16 or UTF-32.

    Raises:
        DataError: it does; the fix names `--encoding` if the script `has_option` for it.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            raise DataError(
                f"{name} is {encoding.upper()} (it starts with {mark.hex(' ')})",
                "UTF-8 text",
                advise_conversion(name, encoding, has_option),
            )


def check_encoding(name: str, samples: list[bytes], encoding: str | None) -> bool:
    """Refuse a file of which most lines cannot be decoded, by a few samples of it.

    Args:
        name: the file.
        samples: its beginning, and blocks of it at offsets divisible by 4.
        encoding: its encoding; None: UTF-8.

    Returns:
        False if most lines cannot be decoded in any known encoding: it is no text.

    Raises:
        DataError: it is text in another encoding.
    """
    head = samples[0]
    if is_utf8(encoding):
        refuse_marks(name, head)
    elif _is_utf8_text(head):
        raise DataError(
            f"{name} is UTF-8, not {encoding}",
            f"text in {encoding}",
            "leave --encoding out; if only some files are in another encoding, convert those",
        )
    share = _undecodable_share(samples, encoding or "utf-8")
    if share <= 0.5:
        return True
    guesses, certain = _guess(head)
    if not guesses:
        return False
    seems = f"it seems to be {guesses[0]}"
    fix = advise_conversion(name, guesses[0])
    if not certain:
        seems = f"it is in an 8-bit encoding, perhaps {' or '.join(guesses)}"
        fix = f"find out in which one it was saved; if in {guesses[0]}, {fix}"
    raise DataError(
        f"{name}: {share:.0%} of the lines cannot be decoded as {encoding or 'UTF-8'}; {seems}",
        f"text in {encoding or 'UTF-8'}",
        fix,
    )


def _is_utf8_text(head: bytes) -> bool:
    """Return whether bytes are UTF-8 with at least a few characters that are not ASCII."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return head.startswith(codecs.BOM_UTF8) or sum(c > "\x7f" for c in text) > 3


def _undecodable_share(samples: list[bytes], encoding: str) -> float:
    """Return the share of lines with bytes that cannot be decoded, or with what UTF-8 text has not.

    It is 0 if these are few, and most characters that are not ASCII can be decoded: then the lines
    are only long.
    """
    if not codecs.lookup(encoding).name.startswith("utf-8"):
        samples = samples[:1]  # a later block may begin in the middle of a character, or of a state
    num_lines = num_bad_lines = num_characters = num_bad = num_good = 0
    for number, sample in enumerate(samples):
        sample = sample.replace(b"\xef\xbf\xbd", b"?")  # U+FFFD that the text itself holds
        text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
        lines = text.split("\n")
        for line in lines[1:] if number and len(lines) > 1 else lines:
            bad = line.count("\ufffd") + line.count("\0") + line.count("\x1b$")  # ISO-2022
            num_lines += not line.isspace() and bool(line)
            num_bad_lines += bad > 0
            num_characters += len(line)
            num_bad += bad
            num_good += 0 if line.isascii() else sum(c > "\x7f" and c != "\ufffd" for c in line)
    only_long = num_bad <= num_good and num_bad < 0.01 * num_characters
    return 0.0 if only_long else num_bad_lines / max(num_lines, 1)


def _guess(head: bytes) -> tuple[list[str], bool]:
    """Return the encodings that bytes may have, and whether the first one is certain."""
    import charset_normalizer
    from charset_normalizer.utils import is_multi_byte_encoding

    matches = charset_normalizer.from_bytes(head)
    best = matches.best()
    if best is None:
        return [], False
    if is_multi_byte_encoding(best.encoding):
        return [codecs.lookup(best.encoding).name], True
    # Texts in 8-bit encodings differ in a few letters only; the most common encoding comes first.
    close = [m.encoding for m in matches if m.chaos <= best.chaos + 0.05]
    close.sort(key=lambda encoding: encoding != "cp1252")
    return [codecs.lookup(encoding).name for encoding in close[:MAX_GUESSES]], False


def advise_conversion(name: str, encoding: str, has_option: bool = True) -> str:
    """Return advice to name a file's encoding, or to convert it to UTF-8."""
    iconv = f"iconv -f {_iconv_name(encoding)} -t UTF-8"
    command = f"{iconv} {shlex.quote(name)} > new.txt"
    for ending, reader in ((".gz", "zcat"), (".xz", "xzcat")):
        if name.lower().endswith(ending):
            command = f"{reader} {shlex.quote(name)} | {iconv} > new.txt"
    if not has_option:
        return f"convert it: {command}"
    option = f"pass --encoding {encoding}"
    return option if _NOT_IN_ICONV.match(encoding) else f"{option}, or convert it: {command}"


def _iconv_name(encoding: str) -> str:
    """Return iconv's name of one of Python's encodings, such as UTF-16LE for utf-16-le."""
    name = encoding.upper().replace("_", "-")
    if name.startswith("UTF-"):
        return name.replace("-LE", "LE").replace("-BE", "BE")
    return _ICONV_NAMES.get(name, name.replace("ISO2022-", "ISO-2022-"))
