"""Identifiers that are ours: UUIDs of version 7 (RFC 9562), which sort by the time at which they were made."""

from __future__ import annotations

import os
import time


def uuid7() -> str:
    """A new one: 48 bits of milliseconds since 1970, then 74 of chance."""
    return from_parts(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def from_parts(milliseconds: int, chance: int) -> str:
    """The UUID of a time and of 80 bits of chance, six of which give way to version and variant."""
    value = (milliseconds & (1 << 48) - 1) << 80 | chance & (1 << 80) - 1
    value = value & ~(0xF << 76) | 0x7 << 76
    text = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"  # what str(UUID(int=...)) gives, in a third of the time
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
