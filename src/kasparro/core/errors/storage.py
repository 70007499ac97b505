"""The database did not do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kasparro.core.errors.base import KasparroError


class StorageError(KasparroError):
    """The database did not do it."""

    code = "storage"


class DatabaseUnavailable(StorageError):
    """The database cannot be reached."""

    code = "database_unavailable"


class DatabaseTimeout(DatabaseUnavailable):
    """The database did not answer in time."""

    code = "database_timeout"


class DatabaseConflict(DatabaseUnavailable):
    """Two transactions got in each other's way, and the database ended this one."""

    code = "database_conflict"


class DatabasePaused(DatabaseUnavailable):
    """The database cannot be written to until somebody, or time, has changed that."""

    code = "database_paused"
    advice: ClassVar[str] = "Nothing is lost; ingestion goes on by itself"  # what whoever waits is told


class StorageFull(DatabasePaused):
    """The database has no room left on its disk."""

    code = "storage_full"
    advice = "Free space on the disk of the database; ingestion goes on by itself"


class DatabaseReadOnly(DatabasePaused):
    """The database takes no writes: it is a standby, or was set read-only."""

    code = "database_read_only"
    advice = "Make the database writable, or point DATABASE_URL at the primary; ingestion goes on by itself"


class DatabaseRecovering(DatabasePaused):
    """The database is starting up or recovering from a crash."""

    code = "database_recovering"
    advice = "Wait, or look into the log of the database if it takes long; ingestion goes on by itself"


class RecordRefused(StorageError):
    """The database refuses a value."""

    code = "record_refused"

    def __init__(self, message: str | None = None, *, records: Mapping[str, str] | None = None) -> None:
        self.records = records or {}
        """The records at fault, by external id, with the database's reason; empty while they are not known."""
        super().__init__(message)


class KeysTaken(StorageError):
    """A record that was taken for new is stored already."""

    code = "keys_taken"


class SchemaMismatch(StorageError):
    """The database schema is not the one this version needs."""

    code = "schema_mismatch"
