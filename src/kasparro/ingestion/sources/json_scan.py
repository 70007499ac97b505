"""Where JSON values end in a text that is not all there yet, told by brackets and quotes alone. UTF-8 bytes in, places out.

`json_stream` and `json_lines` call it where guessing did not help. What stands between two places is read by `json_records`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.json_split import DEEPEST_AT_ALL, bottomless

BLANK: Final = re.compile(rb"[ \t\r\n]*+")

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BRACKET: Final = re.compile(
    rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}"]|\Z)',
    re.DOTALL,
)
"""What is before the next bracket, and that bracket; or a lone quote, where a string does not end in what is there."""

_OPENING: Final = (b"[", b"{")
_CLOSING: Final = (b"]", b"}")
_TOKEN: Final = re.compile(_STRING + rb'|["\[\]{},]', re.DOTALL)
_WHOLE_STRING: Final = re.compile(_STRING, re.DOTALL)
_SCALAR: Final = re.compile(rb"[^ \t\r\n,\]}]*+")
_COMMA: Final = re.compile(rb"[ \t\r\n]*+,")


@dataclass(frozen=True, slots=True)
class Elements:
    """How far a text from the inside of an array goes: the last comma between elements, or the bracket that closes it."""

    comma: int | None
    end: int | None


def elements_in(text: bytes) -> Elements:
    """*text* begins where an element does, or where the array ends."""
    level, closed, before = 0, 0, 0
    for token in _BRACKET.finditer(text):
        bracket = token[1]
        if bracket in _OPENING:
            level += 1
            if level > DEEPEST_AT_ALL:
                raise bottomless()
        elif bracket not in _CLOSING:
            break
        elif level == 0:
            if bracket == b"}":
                raise malformed(token.start(1))
            return Elements(None, token.start(1))
        else:
            level -= 1
            if level == 0:
                before, closed = closed, token.end()
    for close in (closed, before):
        if close and (comma := _COMMA.match(text, close)):
            return Elements(comma.end() - 1, None)
    return Elements(_last_comma(text), None)


def values_in(text: bytes) -> list[tuple[int, int]]:
    """Where the objects and arrays that follow each other in *text* begin and end; the last may not be whole and is not told."""
    found = []
    level = start = 0
    for token in _BRACKET.finditer(text):
        bracket = token[1]
        if bracket in _OPENING:
            level += 1
            if level > DEEPEST_AT_ALL:
                raise bottomless()
        elif bracket not in _CLOSING:
            break
        else:
            level -= 1
            if level <= 0:
                found.append((start, token.end()))
                start, level = token.end(), 0
    return found


def value_end(text: bytes, start: int) -> int | None:
    """Where the value that begins at *start* ends; `None` when that is not in *text*."""
    first = text[start : start + 1]
    if first in (b"{", b"["):  # bytes of one length, faster than a set
        return _closing(text, start)
    match = (_WHOLE_STRING if first == b'"' else _SCALAR).match(text, start)
    return match.end() if match is not None and match.end() < len(text) else None


def key_at(text: bytes, start: int) -> tuple[bytes, int] | None:
    """The key, in quotes, that stands at *start*, and where its value begins; `None` when that is not in *text*."""
    key = _WHOLE_STRING.match(text, start)
    if key is None:
        if text[start : start + 1] not in (b'"', b""):  # as above
            raise malformed(start)
        return None
    colon = skip(text, key.end())
    if colon < len(text) and text[colon : colon + 1] != b":":
        raise malformed(colon)
    value = skip(text, colon + 1)
    return (key[0], value) if value < len(text) else None


def skip(text: bytes, start: int) -> int:
    """The place of the first byte from *start* on that is no blank."""
    blank = BLANK.match(text, start)
    return start if blank is None else blank.end()


def malformed(offset: int) -> UnexpectedContent:
    return UnexpectedContent(f"the answer is not JSON: the nesting is broken at byte {offset}")


def _closing(text: bytes, start: int) -> int | None:
    level = 0
    for token in _BRACKET.finditer(text, start):
        bracket = token[1]
        if bracket in _OPENING:
            level += 1
            if level > DEEPEST_AT_ALL:
                raise bottomless()
        elif bracket not in _CLOSING:
            return None
        else:
            level -= 1
            if level == 0:
                return token.end()
    return None


def _last_comma(text: bytes) -> int | None:
    """Between elements that have no brackets."""
    level = 0
    found = None
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{":
                level += 1
            case b"]" | b"}":
                level -= 1
            case b"," if level == 0:
                found = token.start()
            case b'"':
                break
            case _:
                pass
    return found
