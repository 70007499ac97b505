"""JSON text in whatever Unicode encoding it was sent in, UTF-8 without a byte order mark out (RFC 8259, section 8.1)."""

from __future__ import annotations

import codecs
from typing import Final

from kasparro.core.errors import UnexpectedContent

_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_WIDE: Final = {
    "utf-16": "utf-16-be",
    "utf-32": "utf-32-be",
}  # without a mark: big-endian (RFC 2781, section 4.3)
_WIDE_ORDERED: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})
_SINGLE_BYTE: Final = frozenset({"iso8859-1", "iso8859-15", "cp1252"})


def utf8_text(content: bytes, charset: str | None) -> bytes:
    """Transcode *content*. Raises `UnexpectedContent` with the offset of the first byte that does not fit.

    A byte order mark decides, then a declared UTF-16 or UTF-32; everything else is read as UTF-8, and only what is not valid
    UTF-8 as the Western single-byte charset it was declared to be.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _transcode(content[len(mark) :], encoding, len(mark))
    named = _codec_name(charset)
    if named in _WIDE_ORDERED:
        return _transcode(content, named, 0)
    try:
        return _transcode(content, "utf-8", 0)
    except UnexpectedContent:
        if named in _SINGLE_BYTE:
            return _transcode(content, named, 0)
        raise


def _codec_name(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return _WIDE.get(name, name)


def _transcode(content: bytes, encoding: str, skipped: int) -> bytes:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnexpectedContent(
            f"the answer is not valid {encoding.upper()}: {error.reason} at byte {error.start + skipped}",
            hint="Its Content-Type should name the charset it is in",
        ) from error
    return content if encoding == "utf-8" else text.encode()
