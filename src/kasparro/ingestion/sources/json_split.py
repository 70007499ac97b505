"""One JSON array or object cut into the texts of its parts, without reading the parts. UTF-8 bytes in, slices of them out.

The slow way round: it finds the ends of parts by brackets and quotes alone, so that a part which no parser takes (a lone
surrogate, `NaN`, a thousand levels of nesting) does not take its neighbours with it.
`json_records` calls it when msgspec gives up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from kasparro.core.errors import TruncatedContent, UnexpectedContent

DEEPEST_AT_ALL: Final = 200_000
"""Levels of nesting beyond which no end is looked for. A record of fewer that is too deep is one reject."""

BLANKS: Final = b" \t\r\n"
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_KEY: Final = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:', re.DOTALL)
_CLOSED_BY: Final = {b"[": b"]", b"{": b"}"}


def split_array(text: bytes) -> list[bytes]:
    """The texts of the elements. Raises `TruncatedContent` when *text* ends early, `UnexpectedContent` when it is no array."""
    parts = list(_parts(text))
    return [] if parts == [b""] else parts


def split_object(text: bytes) -> dict[str, bytes]:
    """The texts of the members; of a repeated key the last counts, as with every JSON parser at hand."""
    members = {}
    for part in split_array(text):
        key = _KEY.match(part)
        if key is None:
            raise UnexpectedContent("the answer is not JSON: an object has a member without a key")
        members[_key_text(key[1])] = part[key.end() :].strip(BLANKS)
    return members


def _parts(text: bytes) -> Iterator[bytes]:
    """What stands between the outer brackets and the commas at their level."""
    open_brackets: list[bytes] = []
    start = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{" as bracket:
                open_brackets.append(_CLOSED_BY[bracket])
                if len(open_brackets) > DEEPEST_AT_ALL:
                    raise bottomless()
                if len(open_brackets) == 1:
                    start = token.end()
            case b"]" | b"}" as bracket:
                if not open_brackets or open_brackets.pop() != bracket:
                    raise _malformed(token.start())
                if not open_brackets:
                    yield text[start : token.start()].strip(BLANKS)
                    return _nothing_after(text, token.end())
            case b"," if len(open_brackets) == 1:
                yield text[start : token.start()].strip(BLANKS)
                start = token.end()
            case b'"':
                raise _cut_off(text)
            case _:
                pass
    raise _cut_off(text)


def _nothing_after(text: bytes, end: int) -> None:
    if rest := text[end:].strip(BLANKS):
        raise _malformed(len(text) - len(rest))


def _key_text(text: bytes) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError as error:
        raise UnexpectedContent(f"the answer is not JSON: a key cannot be read: {error}") from error


def _malformed(offset: int) -> UnexpectedContent:
    return UnexpectedContent(f"the answer is not JSON: the nesting is broken at byte {offset}")


def bottomless() -> UnexpectedContent:
    return UnexpectedContent(f"the answer is nested more than {DEEPEST_AT_ALL} levels deep")


def _cut_off(text: bytes) -> TruncatedContent:
    return TruncatedContent(f"the JSON ends early, after {len(text)} bytes")
