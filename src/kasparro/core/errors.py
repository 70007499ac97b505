"""The errors of Kasparro, sorted by what the caller should do.

    KasparroError
    ├── ConfigurationError          fix the configuration; nothing was fetched (exit code 2)
    │   └── NotSupportedYet         declared, understood, and not delivered yet
    ├── SourceError                 the source did not deliver
    │   ├── TransientSourceError    try the request again, not before `retry_after`
    │   ├── SourceParked            the run ends here and goes on at `resume_at`
    │   ├── CircuitOpen             failed too often; not asked again before it has had a rest
    │   └── PermanentSourceError    trying again changes nothing
    │       ├── AuthenticationFailed
    │       ├── UnexpectedContent
    │       ├── TruncatedContent
    │       ├── ResponseTooLarge
    │       ├── FileTooLarge
    │       ├── PathRefused
    │       ├── PaginationLoop
    │       ├── ForeignOrigin
    │       ├── SourceChanged
    │       └── TapFailed
    ├── RunError                    this run cannot go on; another may
    │   ├── LeaseHeld               another process ingests this source
    │   ├── LeaseLost               another process has taken over; nothing more may be written
    │   └── RunInterrupted          asked to stop; the checkpoint is resumable
    ├── StorageError                the database did not do it
    │   ├── DatabaseUnavailable     try again later
    │   │   ├── DatabaseTimeout     no answer before the client-side deadline
    │   │   ├── DatabaseConflict    two transactions got in each other's way; try again at once
    │   │   └── DatabasePaused      it cannot be written to, for as long as it takes: wait
    │   │       ├── StorageFull
    │   │       ├── DatabaseReadOnly
    │   │       └── DatabaseRecovering
    │   ├── RecordRefused           the database refuses a value; only that record is at fault
    │   ├── KeysTaken               look up what is stored, then write again
    │   └── SchemaMismatch          run `kasparro db upgrade`, or a newer Kasparro
    ├── RequestError                an HTTP request that cannot be answered as asked
    │   ├── NotFound
    │   ├── InvalidParameter
    │   ├── InvalidCursor
    │   ├── ExtraMissing            install the optional dependency that the hint names
    │   ├── NotAuthenticated
    │   ├── NotAllowed
    │   ├── RateLimited
    │   ├── KeysUnavailable         who asks cannot be told: the keys of tokens cannot be had
    │   └── AlreadyRunning
    └── EmbeddedServerError         the embedded PostgreSQL could not be started

Bad data is not in this tree: a record that does not fit is a `Reject`, a value. Foreign exceptions are translated where the
foreign library is called, with `from`. A class's docstring is its default message; each `code` is stable, and in docs/errors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


class KasparroError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One thing to fix: where it stands, what is wrong with it."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part)
        return f"{place}: {self.message}" if self.file else self.message


class ConfigurationError(KasparroError):
    """The configuration is not usable."""

    code = "configuration"
    exit_code = 2

    def __init__(self, *problems: ConfigurationProblem | str, hint: str | None = None) -> None:
        self.problems = tuple(ConfigurationProblem(p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(map(str, self.problems)) or None, hint=hint)


class NotSupportedYet(ConfigurationError):
    """The configuration asks for something this version does not do yet."""

    code = "not_supported_yet"


class SourceError(KasparroError):
    """The source did not deliver."""

    code = "source"

    def __init__(
        self, message: str | None = None, *, place: str | None = None, hint: str | None = None
    ) -> None:
        self.place = place
        super().__init__(f"{place}: {message}" if place and message else message, hint=hint)


class TransientSourceError(SourceError):
    """The source cannot deliver just now."""

    code = "source_unavailable"

    def __init__(
        self,
        message: str | None = None,
        *,
        place: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        self.tried_enough = False
        """The request was tried as often as its declaration says: whoever catches this need not ask again."""
        super().__init__(message, place=place, hint=hint)


class SourceParked(SourceError):
    """The source may not be asked before a certain time, for which it *asked* or a declared limit; the run goes on then."""

    code = "source_parked"

    def __init__(self, message: str, *, resume_at: datetime, asked: bool = False) -> None:
        self.resume_at, self.asked = resume_at, asked
        super().__init__(message, hint="A worker goes on then by itself; `kasparro ingest --force` asks now")


class CircuitOpen(SourceError):
    """The source failed too often in a row and is left alone for a while."""

    code = "circuit_open"


class PermanentSourceError(SourceError):
    """The source refuses, and asking again changes nothing."""

    code = "source_refused"
    status: int | None = None  # of the HTTP answer that said so, where it was one


class AuthenticationFailed(PermanentSourceError):
    """The source does not accept the credentials."""

    code = "auth_failed"


class UnexpectedContent(PermanentSourceError):
    """The source answered with something that is not what was declared."""

    code = "unexpected_content"


class TruncatedContent(TransientSourceError):
    """The answer ended before its end."""

    code = "truncated_content"


class ResponseTooLarge(PermanentSourceError):
    """The answer is larger than the limits allow."""

    code = "response_too_large"


class FileTooLarge(PermanentSourceError):
    """The file is larger, or unpacks to more, than the limits allow."""

    code = "file_too_large"


class PathRefused(PermanentSourceError):
    """The path leads to something that is no file, or out of the declared root."""

    code = "path_refused"


class PaginationLoop(PermanentSourceError):
    """The source keeps naming pages that were already fetched in this run."""

    code = "pagination_loop"


class ForeignOrigin(PermanentSourceError):
    """The source sends us to an origin it was not declared for."""

    code = "foreign_origin"


class SourceChanged(PermanentSourceError):
    """The source changed while it was being read."""

    code = "source_changed"


class TapFailed(PermanentSourceError):
    """The Singer tap did not deliver."""

    code = "tap_failed"


class RunError(KasparroError):
    """The run cannot go on."""

    code = "run"


class LeaseHeld(RunError):
    """Another process is ingesting this source."""

    code = "source_running"

    def __init__(self, source: str, holder: str, run_id: str | None, expires_at: datetime) -> None:
        self.source, self.holder, self.run_id, self.expires_at = source, holder, run_id, expires_at
        super().__init__(
            f"source {source!r} is being ingested by {holder} (run {run_id})",
            hint=f"Wait for it to finish; if that process died, its lease ends at {expires_at:%H:%M:%S} UTC by itself",
        )


class LeaseLost(RunError):
    """Another process has taken this source over; this run may not write any more."""

    code = "lease_lost"


class RunInterrupted(RunError):
    """The run was asked to stop; what is committed stays, and the next run resumes after it."""

    code = "interrupted"


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


class RequestError(KasparroError):
    """The request cannot be answered as asked."""

    code = "request"


class NotFound(RequestError):
    """There is no such thing."""

    code = "not_found"


class InvalidParameter(RequestError):
    """A parameter is not usable."""

    code = "invalid_parameter"

    def __init__(self, parameter: str, message: str, *, hint: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(message, hint=hint)


class InvalidCursor(RequestError):
    """The cursor is damaged, or not one of this version."""

    code = "invalid_cursor"
    parameter = "cursor"

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "Begin again without it")


class ExtraMissing(RequestError):
    """What this needs is not installed."""

    code = "extra_missing"


class NotAuthenticated(RequestError):
    """A valid API key is needed."""

    code = "not_authenticated"


class NotAllowed(RequestError):
    """This API key does not have the scope that is needed."""

    code = "not_allowed"


class RateLimited(RequestError):
    """Too many requests in too short a time."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: int, hint: str | None = None) -> None:
        self.retry_after = retry_after  # whole seconds
        super().__init__(message, hint=hint)


class KeysUnavailable(RequestError):
    """The keys that tokens are checked with cannot be had just now."""

    code = "keys_unavailable"


class AlreadyRunning(RequestError):
    """A run of this source is already going on or waiting."""

    code = "already_running"


class EmbeddedServerError(KasparroError):
    """The embedded PostgreSQL could not be started."""

    code = "embedded_server"
