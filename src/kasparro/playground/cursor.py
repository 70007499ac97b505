"""Opaque cursors: where to go on, in a form that only this module reads and that shows when it was changed.

A cursor names the last record that was delivered, not a position, and needs no secret: it outlives a restart, so a load that
was interrupted can resume against the next playground.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_CHECK_BYTES = 8
_LABEL = b"airportsdata/1"


class CursorInvalid(ValueError):
    """The cursor was not made here, or was changed since."""


def encode_cursor(last_key: str) -> str:
    key = last_key.encode()
    check = hashlib.blake2b(key, digest_size=_CHECK_BYTES, person=_LABEL).digest()
    return base64.urlsafe_b64encode(check + key).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> str:
    """The key of the last delivered record. Raises CursorInvalid."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        last_key = packed[_CHECK_BYTES:].decode()
    except (binascii.Error, ValueError) as error:
        raise CursorInvalid from error
    # Base64 has several spellings of one value; only the one that was handed out counts.
    if not last_key or not hmac.compare_digest(encode_cursor(last_key).encode(), cursor.encode()):
        raise CursorInvalid
    return last_key
