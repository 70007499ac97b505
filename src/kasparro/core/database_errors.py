"""PostgreSQL's errors in, ours out, sorted by what the caller should do. Used by `core.database` around every call.

`DatabaseUnavailable` and its kinds (try again: later, at once, or when somebody has made room), `RecordRefused` (a value is at
fault), `SchemaMismatch`, else `StorageError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors as pg

from kasparro.core.errors import (
    DatabaseConflict,
    DatabaseReadOnly,
    DatabaseRecovering,
    DatabaseTimeout,
    DatabaseUnavailable,
    RecordRefused,
    SchemaMismatch,
    StorageError,
    StorageFull,
)

REFUSALS: Final = (
    psycopg.DataError,
    pg.ProgramLimitExceeded,
    pg.StatementTooComplex,
    pg.CheckViolation,
    pg.NotNullViolation,
    pg.ForeignKeyViolation,
    pg.ExclusionViolation,
    pg.RaiseException,
)
"""A value is at fault. The constraints and the exception are those an operator has added; ours hold by construction."""

RULES: Final[Mapping[tuple[type[BaseException], ...], type[StorageError]]] = {
    REFUSALS: RecordRefused,
    (pg.QueryCanceled, pg.LockNotAvailable): DatabaseTimeout,
    (pg.SerializationFailure, pg.DeadlockDetected): DatabaseConflict,
    (pg.DiskFull,): StorageFull,
    (pg.ReadOnlySqlTransaction,): DatabaseReadOnly,
    (pg.CannotConnectNow,): DatabaseRecovering,
    (
        pg.OperationalError,
        pg.InterfaceError,
        pg.InsufficientResources,
        pg.IdleInTransactionSessionTimeout,  # this process was frozen: its transaction is gone, and its connection
        pg.TransactionTimeout,
    ): DatabaseUnavailable,
    (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction): SchemaMismatch,
}
"""The first that fits counts: some of the refusals are operational errors to the driver."""

RECOVERING: Final = ("is in recovery mode", "is starting up", "not yet accepting connections")
"""libpq does not tell the SQLSTATE of a refused connection (57P03 here), only the server's words."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _ours(error) from error


def _ours(error: BaseException | None) -> StorageError:
    message = first_line(error)
    kind = next((ours for theirs, ours in RULES.items() if isinstance(error, theirs)), StorageError)
    if kind is DatabaseUnavailable and any(words in str(error) for words in RECOVERING):
        return DatabaseRecovering(message)
    if kind is SchemaMismatch:
        return SchemaMismatch(message, hint="Run: kasparro db upgrade")
    return kind(message)


def first_line(error: BaseException | None) -> str:
    """The server's own sentence; its DETAIL and CONTEXT lines may repeat a record's values."""
    return str(error).strip().partition("\n")[0] or "the database gave no reason"
