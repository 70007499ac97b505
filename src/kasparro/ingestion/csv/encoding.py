"""What the bytes of a file mean: the declared encoding, or the one its beginning shows.

In: the first bytes of a decompressed file. Out: an `Encoding`. Called once for each opening of a file.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from kasparro.core.errors import PermanentSourceError, UnexpectedContent

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

SAMPLE_BYTES: Final = 1024 * 1024
"""What detection reads. A file that is UTF-8 this far is UTF-8; what is not, later on, is a reject."""

_BOMS: Final = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED: Final = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
_STATEFUL: Final = ("iso2022", "hz", "utf-7", "unicode-escape", "raw-unicode-escape")
_NOT_FOR_FILES: Final = frozenset({"idna", "punycode", "undefined", "unicode-escape", "iso2022-kr"})
"""The last one says at the beginning of a file what its bytes mean: a line of it alone would be read as something else."""
_FEW: Final = 64
_FEW_PAIRS: Final = 8
_SLACK: Final = 0.04
_SYMBOL_IN_WORD: Final = re.compile(
    r"[^\W\d_][^\w\s\x00-\x7f\u2019\u2018\xad\xb7][^\W\d_]|[a-z][\xb2\xb3\xb9][a-z]"
)
_BINARY: Final = re.compile(rb"[\x00-\x06\x0e-\x1a]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec, and how a physical line ends in its bytes.

    `bom` is the length of the byte order mark; `how` says where the name comes from. `runs` is false for codecs that carry
    a state from one line to the next: their lines are decoded one by one.
    """

    name: str
    how: Literal["declared", "byte order mark", "utf-8", "zero bytes", "guess"]
    bom: int
    line_feed: bytes
    carriage_return: bytes
    runs: bool


def declared_encoding(name: str, head: bytes, place: str) -> Encoding:
    """Return the encoding *name*, after a look at the byte order mark of *head*; *place* is for errors."""
    family = _known_codec(name, place)
    marks = [(mark, codec) for mark, codec in _BOMS if head.startswith(mark)]
    own = [
        (mark, codec)
        for mark, codec in marks
        if family in {codec, codec[:6]} or codec == _UNMARKED.get(family)
    ]
    if own:
        mark, codec = own[0]
        return _encoding(codec, "declared", len(mark))
    if marks:
        raise UnexpectedContent(
            f"the file begins with the byte order mark of {marks[0][1]}, and {name} is declared",
            place=place,
            hint="Leave `encoding` out, or declare what the file is",
        )
    return _encoding(_UNMARKED.get(family, family), "declared", 0)


def detect_encoding(head: bytes, place: str, *, complete: bool) -> Encoding:
    """Tell the encoding from *head*, the first bytes of a file; *complete* when they are all of it.

    Byte order mark, zero bytes in regular places (UTF-32, UTF-16), UTF-8, and then a guess. UTF-8 with faults in it stays
    UTF-8, and so does what no guess is good enough for: its rows are rejects, which a wrong guess would hide. Raises
    `UnexpectedContent` for what is no text.
    """
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return _encoding(codec, "byte order mark", len(mark))
    if wide := _zero_bytes(head[:4096]):
        return _encoding(wide, "zero bytes", 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=complete)
    except UnicodeDecodeError:
        if not _is_utf8_with_faults(head) and (guess := _guess(head, place)):
            return _encoding(guess, "guess", 0)
    return _encoding("utf-8", "utf-8", 0)


def _is_utf8_with_faults(head: bytes) -> bool:
    """Say whether at least half of what is not ASCII is UTF-8: text in another encoding hardly ever looks like it by chance."""
    characters = [character for character in head.decode("utf-8", "surrogateescape") if character > "\x7f"]
    faults = sum("\udc80" <= character <= "\udcff" for character in characters)
    return 2 * faults <= len(characters)


def _known_codec(name: str, place: str) -> str:
    try:
        "\r\n".encode(name)
        codec = codecs.lookup(name).name
    except (LookupError, ValueError) as error:
        raise _no_encoding(name, place) from error
    if codec.replace("_", "-") in _NOT_FOR_FILES:
        raise _no_encoding(name, place)
    return codec


def _no_encoding(name: str, place: str) -> PermanentSourceError:
    return PermanentSourceError(
        f"{name!r} is not an encoding of text files",
        place=place,
        hint="Declare `encoding`, for example utf-8 or cp1252",
    )


def _encoding(
    codec: str, how: Literal["declared", "byte order mark", "utf-8", "zero bytes", "guess"], bom: int
) -> Encoding:
    return Encoding(
        name=codec,
        how=how,
        bom=bom,
        line_feed="\n".encode(codec),
        carriage_return="\r".encode(codec),
        runs=not codec.replace("_", "-").startswith(_STATEFUL),
    )


def _zero_bytes(head: bytes) -> str | None:
    """Tell UTF-32 by bytes that are always zero beside some that are not, UTF-16 by a third of zeros on one side alone."""
    units = len(head) // 4
    zeros = [head[start::4].count(0) for start in range(4)]
    few, most = units // 8, units - units // 8
    if units and zeros[3] == units and zeros[2] >= most and zeros[0] <= few:
        return "utf-32-le"
    if units and zeros[0] >= units and zeros[1] >= most and zeros[3] <= few:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    enough = max(len(head) // 6 + 1, min(len(head) // 2, _FEW_PAIRS))
    if odd >= enough and even <= odd // 8:
        return "utf-16-le"
    if even >= enough and odd <= even // 8:
        return "utf-16-be"
    return None


def _guess(head: bytes, place: str) -> str | None:
    """Guess from the lines that are not ASCII, which are what the encodings differ in; None without enough to go by."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  # most files are UTF-8, and it takes long to load

    lines = [line for line in head.split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines[:2000])[:65536] if len(lines) > 1 else lines[0][:65536]
    if _BINARY.search(sample):
        raise _unknown(place)
    matches = from_bytes(sample)
    best = matches.best()
    western = next((match for match in matches if "cp1252" in match.could_be_from_charset), None)
    if _looks_western(sample) and _little_speaks_against(sample, western, best):
        return "cp1252"
    if best is None or best.encoding.startswith("utf") or sum(sample.translate(_IS_HIGH)) < _FEW:
        return None
    return best.encoding


def _little_speaks_against(sample: bytes, western: CharsetMatch | None, best: CharsetMatch | None) -> bool:
    if sum(sample.translate(_IS_HIGH)) < _FEW:
        return True
    return western is not None and (best is None or western.chaos <= best.chaos + _SLACK)


_IS_HIGH: Final = bytes(128) + b"\x01" * 128


def _looks_western(sample: bytes) -> bool:
    """Say whether *sample* is Windows-1252 by the look of it: mostly ASCII, and no symbol in the middle of a word."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = sum(map(str.isalpha, text))
    foreign = sum(character.isalpha() and not character.isascii() for character in text)
    return foreign * 3 <= letters and not _SYMBOL_IN_WORD.search(text)


def _unknown(place: str) -> UnexpectedContent:
    return UnexpectedContent(
        "the file is no text in UTF-8, and its encoding cannot be told from its beginning",
        place=place,
        hint="Declare `encoding`, for example cp1252 or shift_jis",
    )
