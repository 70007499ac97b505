"""Text in whatever encoding it was sent in, UTF-8 without a byte order mark out (RFC 8259, section 8.1, but for all formats).

`utf8_text` takes a whole body, `Transcoder` one that comes in blocks; both decide alike.
"""

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


def utf8_text(content: bytes, charset: str | None, declared: str | None = None) -> bytes:
    """Transcode *content*. Raises `UnexpectedContent` with the offset of the first byte that does not fit.

    *declared*, by the catalog, decides; else a byte order mark, then UTF-16 or UTF-32 as the *charset* of the answer; everything
    else is read as UTF-8, and only what is not valid UTF-8 as the Western single-byte charset it was said to be.
    """
    transcoder = Transcoder(charset, declared)
    return transcoder.feed(content, final=True)


class Transcoder:
    """One body, block by block. What its encoding is shows in the first block, or in the first that is not ASCII."""

    def __init__(self, charset: str | None, declared: str | None = None) -> None:
        self._charset = _codec_name(charset)
        self._declared = None if declared is None else _codec_name(declared)
        self._encoding: str | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = False
        self._rest = b""
        self._offset = 0

    def feed(self, block: bytes, *, final: bool = False) -> bytes:
        """The text of *block*, but for a character that is not whole yet."""
        if not self._begun:
            self._begun = True
            block = self._without_mark(block)
        data = self._rest + block if self._rest else block
        if self._encoding is None and not data.isascii():
            self._encoding = self._guess(data, final=final)
        if self._encoding in {None, "utf-8"}:
            return self._checked(data, final=final)
        self._rest = b""
        return self._decoded(data, self._encoding or "", final=final)

    def _without_mark(self, block: bytes) -> bytes:
        marks = [(mark, encoding) for mark, encoding in _MARKS if block.startswith(mark)]
        mark, marked = marks[0] if marks else (b"", None)
        if self._declared is not None:
            own = marked is not None and marked[:6] == self._declared[:6]
            mark, self._encoding = (mark, marked) if own else (b"", self._declared)
        elif marked is not None or self._charset in _WIDE_ORDERED:
            self._encoding = marked or self._charset
        self._offset = len(mark)
        return block[len(mark) :]

    def _guess(self, data: bytes, *, final: bool) -> str | None:
        """By the first character that is not ASCII; `None` where only the beginning of one has come."""
        try:
            _, taken = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError:
            return self._charset if self._charset in _SINGLE_BYTE else "utf-8"
        return None if data[:taken].isascii() else "utf-8"

    def _checked(self, data: bytes, *, final: bool) -> bytes:
        """UTF-8 stays as it is."""
        taken = len(data)
        if not data.isascii():
            try:
                _, taken = codecs.utf_8_decode(data, "strict", final)
            except UnicodeDecodeError as error:
                raise _undecodable("utf-8", error.reason, error.start + self._offset) from error
        self._offset += taken
        self._rest = data[taken:]
        return data[:taken]

    def _decoded(self, block: bytes, encoding: str, *, final: bool) -> bytes:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(encoding)()
        held = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final).encode()
        except UnicodeDecodeError as error:
            raise _undecodable(encoding, error.reason, error.start + self._offset - held) from error
        except UnicodeEncodeError as error:  # a codec that makes lone surrogates
            raise _undecodable(encoding, error.reason, self._offset) from error
        self._offset += len(block)
        return text


def _undecodable(encoding: str, reason: str, offset: int) -> UnexpectedContent:
    return UnexpectedContent(
        f"the answer is not valid {encoding.upper()}: {reason} at byte {offset}",
        hint="Its Content-Type should name the charset it is in; `encoding` can say it instead",
    )


def _codec_name(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return _WIDE.get(name, name)
