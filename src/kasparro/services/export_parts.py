"""A piece of an exported file, and how many records came to an end in it."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    data: bytes
    records: int
