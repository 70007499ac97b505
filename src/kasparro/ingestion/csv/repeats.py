"""Equal rows told apart: the records of a file in order in, the same with their number among equal ones out.

Called by `reading` for files whose rows have no identity but their content. Which number a row gets depends on the rows before it
and on nothing else, so it is the same in every run, wherever that one begins.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from kasparro.schemas.ingest import RawRecord, Reject

LIMIT: Final = 1_000_000
"""Different rows that are remembered, in at most 24 MiB. Later ones are not, and equal ones among them are duplicates."""

_FIRST_SLOTS: Final = 1024


class Repeats:
    """A hash table in two arrays: a dictionary of a million rows would take 100 MB."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._used = 0
        self._hashes = array("q", bytes(8 * _FIRST_SLOTS))
        self._counts = array("I", bytes(4 * _FIRST_SLOTS))

    @property
    def full(self) -> bool:
        """Say whether no more rows are remembered."""
        return self._used >= self._limit

    def numbered(self, items: Sequence[RawRecord | Reject]) -> list[RawRecord | Reject]:
        """Return *items*, each record with how many equal ones there were before it."""
        self._make_room(len(items))
        hashes, mask = self._hashes, len(self._hashes) - 1
        result = list(items)
        for at, item in enumerate(items):  # once for every row of a file: written for speed
            if type(item) is not RawRecord:
                continue
            row = hash(item.payload) or 1  # 0 is a free slot
            slot = row & mask
            while (found := hashes[slot]) and found != row:
                slot = (slot + 1) & mask
            if found:
                self._counts[slot] += 1
                result[at] = replace(item, repeat=self._counts[slot])
            elif self._used < self._limit:
                hashes[slot] = row
                self._used += 1
        return result

    def _make_room(self, rows: int) -> None:
        """Keep half of the slots free, so that a free one is found at once."""
        slots = len(self._hashes)
        while slots < 2 * min(self._used + rows, self._limit):
            slots *= 2
        if slots == len(self._hashes):
            return
        hashes, counts = self._hashes, self._counts
        self._hashes, self._counts = array("q", bytes(8 * slots)), array("I", bytes(4 * slots))
        for row, count in zip(hashes, counts, strict=True):
            if row:
                slot = row & (slots - 1)
                while self._hashes[slot]:
                    slot = (slot + 1) & (slots - 1)
                self._hashes[slot], self._counts[slot] = row, count
