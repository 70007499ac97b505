"""Positions in the change feed as opaque texts that fit into a URL and a header, and back.

Like the cursors of pages: version, checksum and a JSON array, here with the fingerprint of the filters and a place in each
source. It grants nothing, so there is no secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from kasparro.core.errors import InvalidCursor
from kasparro.schemas.changes import Change, FeedPosition, Place
from kasparro.schemas.query import INT64_MAX, RecordQuery

VERSION: Final = b"f"
CHECKSUM: Final = 8
LONGEST: Final = 24_000

PlaceContent = tuple[int, int, int | None, bool]


class Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    query: str
    whole: bool
    places: dict[str, PlaceContent]


DECODER: Final = msgspec.json.Decoder(Content)
ENCODER: Final = msgspec.json.Encoder()


def write_position(query: RecordQuery, position: FeedPosition) -> str:
    """The text of *position*, for followers with the filters of *query*."""
    places = {name: _place_content(place) for name, place in sorted(position.places.items())}
    return _text(ENCODER.encode(Content(query.fingerprint(), position.whole, places)))


def texts_behind(query: RecordQuery, position: FeedPosition, changes: Sequence[Change]) -> Iterator[str]:
    """The text of the position behind each of *changes*, the first of which is behind *position*.

    The same as `write_position` for each; what those of one source have in common is written once.
    """
    for source, of_source in groupby(changes, key=attrgetter("source")):
        around = _around(query, position, source)
        for change in of_source:
            if change.place is None:
                yield write_position(query, position.moved(source, None))
            else:
                yield _text(ENCODER.encode(_place_content(change.place)).join(around))
            last = change.place
        position = position.moved(source, last)


def _around(query: RecordQuery, position: FeedPosition, source: str) -> tuple[bytes, bytes]:
    """What is written before and behind the place of *source*, wherever that is."""
    before, behind = [], []
    for name, place in sorted(position.places.items()):
        written = ENCODER.encode({name: _place_content(place)})[1:-1]
        if name < source:
            before.append(written)
        elif name > source:
            behind.append(written)
    begin = ENCODER.encode((query.fingerprint(), position.whole))[:-1] + b",{"
    own = ENCODER.encode(source) + b":"
    return begin + b",".join([*before, own]), b",".join([b"", *behind]) + b"}]"


def _place_content(place: Place) -> PlaceContent:
    return place.epoch, place.version, place.id, place.walking


def _text(payload: bytes) -> str:
    return _encoded(VERSION + _checksum(payload) + payload)


def read_position(text: str, query: RecordQuery, parameter: str) -> FeedPosition:
    """Where *text* says to go on. Raises `InvalidCursor` when it is damaged or belongs to other filters."""
    content = _content(text)
    if content is None or not all(_is_place(place) for place in content.places.values()):
        raise _refused(parameter)
    if content.query != query.fingerprint():
        raise _refused(
            parameter,
            "this cursor belongs to other filters",
            "Send it with the filters it came with, or begin again without it",
        )
    return FeedPosition(content.whole, {name: Place(*place) for name, place in content.places.items()})


def _refused(parameter: str, message: str | None = None, hint: str | None = None) -> InvalidCursor:
    error = InvalidCursor(message, hint=hint)
    error.parameter = parameter
    return error


def _content(text: str) -> Content | None:
    try:
        whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= LONGEST else b""
        version, checksum, payload = whole[:1], whole[1 : 1 + CHECKSUM], whole[1 + CHECKSUM :]
        if version != VERSION or checksum != _checksum(payload) or _encoded(whole) != text:
            return None
        return DECODER.decode(payload)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _is_place(place: PlaceContent) -> bool:
    epoch, version, record, walking = place
    return all(0 <= number <= INT64_MAX for number in (epoch, version, record or 0)) and not (
        walking and record is None
    )


def _encoded(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode()


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=CHECKSUM, person=b"feed").digest()
