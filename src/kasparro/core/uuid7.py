"""Identifiers that are ours: UUIDs of version 7 (RFC 9562), which sort by the time at which they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7() -> str:
    """A new one: 48 bits of milliseconds since 1970, then 74 of chance."""
    return from_parts(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def from_parts(milliseconds: int, chance: int) -> str:
    """The UUID of a time and of 80 bits of chance, six of which give way to version and variant."""
    value = (milliseconds & (1 << 48) - 1) << 80 | chance & (1 << 80) - 1
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
