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
    │   ├── RunInterrupted          asked to stop; the checkpoint is resumable
    │   └── SchemaFrozen            records have another shape; an operator has to accept it
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
    │   ├── InvalidQuery            GraphQL: it cannot be read, or does not fit the schema
    │   ├── QueryRefused            GraphQL: it asks for more than is answered at once
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

from kasparro.core.errors.base import (
    ConfigurationError,
    ConfigurationProblem,
    EmbeddedServerError,
    KasparroError,
    NotSupportedYet,
)
from kasparro.core.errors.request import (
    AlreadyRunning,
    ExtraMissing,
    InvalidCursor,
    InvalidParameter,
    InvalidQuery,
    KeysUnavailable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    QueryRefused,
    RateLimited,
    RequestError,
)
from kasparro.core.errors.run import LeaseHeld, LeaseLost, RunError, RunInterrupted, SchemaFrozen
from kasparro.core.errors.source import (
    AuthenticationFailed,
    CircuitOpen,
    FileTooLarge,
    ForeignOrigin,
    PaginationLoop,
    PathRefused,
    PermanentSourceError,
    ResponseTooLarge,
    SourceChanged,
    SourceError,
    SourceParked,
    TapFailed,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.core.errors.storage import (
    DatabaseConflict,
    DatabasePaused,
    DatabaseReadOnly,
    DatabaseRecovering,
    DatabaseTimeout,
    DatabaseUnavailable,
    KeysTaken,
    RecordRefused,
    SchemaMismatch,
    StorageError,
    StorageFull,
)

__all__ = [
    "AlreadyRunning",
    "AuthenticationFailed",
    "CircuitOpen",
    "ConfigurationError",
    "ConfigurationProblem",
    "DatabaseConflict",
    "DatabasePaused",
    "DatabaseReadOnly",
    "DatabaseRecovering",
    "DatabaseTimeout",
    "DatabaseUnavailable",
    "EmbeddedServerError",
    "ExtraMissing",
    "FileTooLarge",
    "ForeignOrigin",
    "InvalidCursor",
    "InvalidParameter",
    "InvalidQuery",
    "KasparroError",
    "KeysTaken",
    "KeysUnavailable",
    "LeaseHeld",
    "LeaseLost",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "NotSupportedYet",
    "PaginationLoop",
    "PathRefused",
    "PermanentSourceError",
    "QueryRefused",
    "RateLimited",
    "RecordRefused",
    "RequestError",
    "ResponseTooLarge",
    "RunError",
    "RunInterrupted",
    "SchemaFrozen",
    "SchemaMismatch",
    "SourceChanged",
    "SourceError",
    "SourceParked",
    "StorageError",
    "StorageFull",
    "TapFailed",
    "TransientSourceError",
    "TruncatedContent",
    "UnexpectedContent",
]
