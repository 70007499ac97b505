"""What a dry run has already met: keys in, what became of them out. On disk as soon as it is large, and gone with the run."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kasparro.schemas.ingest import Landed

_LOOK = "SELECT hash, processed FROM seen WHERE id = ?"
_NOTE = """
INSERT INTO seen (id, hash, processed) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, processed = excluded.processed
"""


_THERE = "INSERT OR IGNORE INTO there (id) VALUES (?)"
_IS_THERE = "SELECT 1 FROM there WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Mark:
    """A record that a run would have landed: its hash, and whether it would be in the dataset."""

    payload_hash: bytes
    processed: bool


class Seen:
    """Used from several threads, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._table.execute(
            "CREATE TABLE seen (id TEXT PRIMARY KEY, hash BLOB, processed INTEGER) WITHOUT ROWID"
        )

        self._table.execute("CREATE TABLE there (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def marks(self, ids: Sequence[str]) -> dict[int, Mark]:
        """What is known of *ids*, by their position."""
        with self._lock:
            rows = [self._table.execute(_LOOK, (one,)).fetchone() for one in ids]
        return {at: Mark(row[0], bool(row[1])) for at, row in enumerate(rows) if row is not None}

    def note(self, landed: Iterable[Landed]) -> None:
        rows = [(item.keyed.external_id, item.keyed.payload_hash, item.data is not None) for item in landed]
        with self._lock:
            self._table.execute("BEGIN")
            self._table.executemany(_NOTE, rows)
            self._table.execute("COMMIT")

    def show(self, ids: Iterable[str]) -> None:
        """Records with these *ids* are there, whatever would become of them."""
        with self._lock:
            self._table.execute("BEGIN")
            self._table.executemany(_THERE, [(one,) for one in ids])
            self._table.execute("COMMIT")

    def absent(self, ids: Sequence[str]) -> int:
        """How many of *ids* were not shown."""
        with self._lock:
            return sum(self._table.execute(_IS_THERE, (one,)).fetchone() is None for one in ids)

    def close(self) -> None:
        with self._lock:
            self._table.close()
