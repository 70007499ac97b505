"""Validators of answers (RFC 9110, 8.8 and 13): an `ETag` from what was asked and the state it was answered from.

Tags are weak: two answers with the same tag tell the same of the dataset, though each names its own request, and each may come in
another coding. `Last-Modified` is for people and is never judged by: two commits can fall into one second.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from hashlib import blake2b
from typing import Final

from kasparro import __version__
from kasparro.api.headers import Header

TAG: Final = re.compile(rb'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
MOST_TAGS: Final = 50
"""Of a request; whoever sends more is answered in full."""
ANYTHING: Final = b"*"
BYTES: Final = 12
FORM: Final = f"{__version__} 1"
"""What decides, beside the dataset, how an answer looks. Its number changes with the form of answers."""


def tag_of(asked: bytes, stamp: str, told: str = "") -> bytes:
    """The opaque tag of the answer to *asked* from a state; *told* stands in it for whoever sees it again."""
    digest = blake2b(b"\0".join((FORM.encode(), asked, stamp.encode())), digest_size=BYTES).digest()
    return urlsafe_b64encode(digest) + (f".{told}".encode() if told else b"")


def known_tags(headers: Iterable[Header]) -> frozenset[bytes]:
    """The opaque tags that a request says it has (`If-None-Match`); `ANYTHING` among them for `*`."""
    values = [value for name, value in headers if name == b"if-none-match"]
    if not values:
        return NONE
    if any(value.strip() == b"*" for value in values):
        return frozenset((ANYTHING,))
    tags = TAG.findall(b",".join(values))
    return frozenset(tags) if len(tags) <= MOST_TAGS else NONE


NONE: Final[frozenset[bytes]] = frozenset()


def validators(tag: bytes, changed_at: datetime | None) -> list[Header]:
    """The headers that tell *tag* and when what is answered last changed."""
    etag = (b"etag", b'W/"' + tag + b'"')
    if changed_at is None:
        return [etag]
    return [etag, (b"last-modified", format_datetime(changed_at, usegmt=True).encode())]
