"""What passes between ingestion and storage: frozen values, one direction.

    source -> Page(RawRecord..., Reject...) -> Keyed -> Landed -> Batch -> storage

Payloads are the record's own JSON text as bytes all the way: nothing is decoded that nobody asks for, so digits, key order
and repeated keys arrive in the raw tables as they were received.

What exists once per record is a `msgspec.Struct`: made three times as fast as a frozen dataclass, and not watched by the
garbage collector, since bytes and numbers make no cycles.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType, Self

import msgspec

from kasparro.core import etl_config
from kasparro.schemas.drift import NO_DRIFT, ShapeStep
from kasparro.schemas.matching import Matchable

SourceName = etl_config.SourceName
RunId = NewType("RunId", str)

Cursor = Mapping[str, Any]
"""What a source needs to resume after the last committed record: a JSON object only that source understands."""
REJECTED: Final = "rejected"
"""The key under which a stored cursor says that something was rejected since the source's beginning."""


class SourceKind(StrEnum):
    """What a declared source reads; it decides the raw table."""

    API = "api"
    CSV = "csv"
    STREAM = "stream"

    @classmethod
    def of(cls, declared: str) -> SourceKind:
        """The kind of the declared type; what a tap writes is a stream."""
        return cls.STREAM if declared == "singer" else cls(declared)


class ApiOrigin(msgspec.Struct, frozen=True, gc=False):
    """Where an API record was received: the request's URL (secrets removed), page ordinal from 1, position from 0."""

    url: str
    page: int
    position: int

    def __str__(self) -> str:
        return f"{self.url} page {self.page} record {self.position}"


class FileOrigin(msgspec.Struct, frozen=True, gc=False):
    """Where a CSV record stands: file as declared, byte range in the decompressed file, first line from 1."""

    file: str
    byte_start: int
    byte_end: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} (bytes {self.byte_start}-{self.byte_end})"


class StreamOrigin(msgspec.Struct, frozen=True, gc=False):
    """Where a streamed record was received: the stream's name, and its position in it; of a tap, the line it wrote, from 1."""

    stream: str
    position: int

    def __str__(self) -> str:
        return f"{self.stream} record {self.position}"


Origin = ApiOrigin | FileOrigin | StreamOrigin


class RawRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as received. `payload` is JSON text in UTF-8; a CSV row is an object of its cells as text.

    `repeat`: how many equal rows came before it in its file, counted where content is all the identity that a row has. `key`: the
    fields that identify it, where the source itself says so.
    """

    payload: bytes
    origin: Origin
    repeat: int = 0
    key: tuple[str, ...] = ()


class RejectReason(StrEnum):
    """Why a record is kept in quarantine instead of the dataset; documented in docs/errors.md."""

    NO_IDENTITY = "no_identity"
    IDENTITY_TOO_LONG = "identity_too_long"
    NO_VERSION = "no_version"
    NOT_AN_OBJECT = "not_an_object"
    INVALID_JSON = "invalid_json"
    INVALID_TEXT = "invalid_text"
    TOO_DEEP = "too_deep"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    WRONG_TYPE = "wrong_type"
    INVALID_TIME = "invalid_time"
    INVALID_VALUE = "invalid_value"
    RAGGED_ROW = "ragged_row"
    UNDECODABLE = "undecodable"
    FIELD_TOO_LARGE = "field_too_large"
    UNTERMINATED_QUOTE = "unterminated_quote"
    REFUSED_BY_DATABASE = "refused_by_database"
    SCHEMA_DRIFT = "schema_drift"


@dataclass(frozen=True, slots=True)
class Reject:
    """One bad record: kept with its payload, the field at fault where there is one, and the reason.

    `repeat` is how many equal ones came before it, where content is all it is known by.
    """

    payload: bytes
    origin: Origin
    reason: RejectReason
    message: str
    field: str | None = None
    external_id: str | None = None
    repeat: int = 0


class NoticeCode(StrEnum):
    """What a notice is about; documented in docs/errors.md."""

    LATE_RECORDS = "late_records"
    CURSOR_REGRESSION = "cursor_regression"
    CURSOR_IN_FUTURE = "cursor_in_future"
    CURSOR_UNUSABLE = "cursor_unusable"
    STALE_IGNORED = "stale_ignored"
    PAGINATION_DETECTED = "pagination_detected"
    PAGINATION_NOT_DETECTED = "pagination_not_detected"
    PAGES_LEFT_OUT = "pages_left_out"
    PLACE_EXPIRED = "place_expired"
    PARENT_GONE = "parent_gone"
    PARENT_UNUSABLE = "parent_unusable"
    SCHEMA_DRIFT = "schema_drift"
    DELETIONS_WITHHELD = "deletions_withheld"
    ENTITY_CONFLICT = "entity_conflict"
    ENCODING_GUESSED = "encoding_guessed"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a fetch that an operator should know and that is no error.

    It holds nothing secret and is short: message and details go into the log and into `etl_run.metadata`, one entry a code.
    """

    code: NoticeCode
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """What a source hands over at once.

    `cursor` resumes *after* this page; `None` means that the next run starts from the beginning, which is what the last page
    of a complete fetch says, unless the source can tell what has not changed since. `last`: no page comes behind it, whatever its
    cursor. `rejects` are the records that could not even become a `RawRecord`. `unchanged` is the number of records that were
    found to be as they were stored without being read again. `total` is the number of records the source says it has, `size`
    the bytes received for this page, `total_size` the bytes there are; for progress only. `notices` are what an operator should
    know of it. Of an incremental source `mark` says up to where all is fetched once this page is committed, and
    `known_until` is the mark before: a record older than that, and new, came late. `conditions` ask whether the page has changed,
    where it is the only one.
    """

    records: Sequence[RawRecord]
    cursor: Cursor | None
    rejects: Sequence[Reject] = ()
    unchanged: int = 0
    size: int = 0
    total: int | None = None
    total_size: int | None = None
    last: bool = False
    notices: Sequence[Notice] = ()
    mark: datetime | None = None
    known_until: int | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)


class Keyed(msgspec.Struct, frozen=True, gc=False):
    """A raw record with its identity and the 16-byte hash that says whether it differs from what is stored."""

    external_id: str
    payload_hash: bytes
    raw: RawRecord


class ParentRecord(msgspec.Struct, frozen=True, gc=False):
    """A stored record for which another source is asked: its external_id, and its JSON text as received."""

    key: str
    raw: bytes


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is stored of a record.

    `processed`: its latest raw version made it into the dataset; `in_dataset`: some version did; `this_run`: the run at hand
    has landed it already. `payload`: its text, where it was asked for and differs.
    """

    payload_hash: bytes
    processed: bool
    in_dataset: bool
    this_run: bool
    payload: bytes | None = None


Stored = Mapping[int, Known | None]
"""What is stored of the records of a batch, by their position in it; `None`: nothing. A record that is missing here is stored as
it is, in the dataset too, and was not landed by the run at hand."""

Place = NewType("Place", int)
"""Where a batch stands in the order in which a run commits, from 0."""


class Landed(msgspec.Struct, frozen=True, gc=False):
    """A record to be written: the raw one and, unless it was rejected, the JSON text of its DataRecord."""

    keyed: Keyed
    data: bytes | None


@dataclass(frozen=True, slots=True)
class RunCounters:
    """The ledger of a run. `processed` is the sum of the others, here by definition and in the database by a constraint.

    Beside it stands what left the dataset because a complete fetch no longer showed it: `deleted`.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    duplicates: int = 0
    deleted: int = 0

    @property
    def processed(self) -> int:
        return self.inserted + self.updated + self.unchanged + self.failed + self.duplicates

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_columns(self) -> dict[str, int]:
        """The counters under the names of their columns."""
        return {
            f"records_{name}": getattr(self, name) for name in ("processed", *(f.name for f in fields(self)))
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction commits: records, rejects, counters and the checkpoint that describes exactly these.

    `new` records were never stored, `changed` ones were. `rejects` go to quarantine. `cursor` resumes after this batch;
    `complete` says that nothing is left to fetch. `notices` go into the run's metadata. `mark`: up to where an
    incremental source is fetched after it. `drift`: how its records differ in shape from those before. `matchable`: what
    is to be linked to entities, of a source that declares rules for it. `seen`: the keys of all its records, whatever
    became of them. A `replay` adds
    nothing to the raw tables and leaves the checkpoint where it is.
    """

    new: Sequence[Landed] = ()
    changed: Sequence[Landed] = ()
    rejects: Sequence[Reject] = ()
    counters: RunCounters = field(default_factory=RunCounters)
    cursor: Cursor | None = None
    complete: bool = False
    last_id: str | None = None
    replay: bool = False
    notices: Sequence[Notice] = ()
    mark: datetime | None = None
    drift: ShapeStep = NO_DRIFT
    seen: frozenset[str] = frozenset()
    matchable: Sequence[Matchable] = ()

    @property
    def changes(self) -> bool:
        """Whether it changes the dataset."""
        return any(item.data is not None for item in self.new) or any(
            item.data is not None for item in self.changed
        )


@dataclass(frozen=True, slots=True)
class Absence:
    """What is stored and was not seen by a fetch: *records*, so many of them *in_dataset*, of so many *stored* there.

    `fault` says why the fetch proves nothing absent, if so; then nothing was counted.
    """

    records: int = 0
    in_dataset: int = 0
    stored: int = 0
    fault: str | None = None


class Trigger(StrEnum):
    """Who asked for a run."""

    CLI = "cli"
    API = "api"
    SCHEDULE = "schedule"
    RESUME = "resume"
    REPLAY = "replay"


class RunStatus(StrEnum):
    """The states of a run: in_progress -> success | partial | failed."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


def outcome(counters: RunCounters, error: str | None) -> tuple[RunStatus, str | None]:
    """How a run ends: failed on an error or when nothing at all fits, partial when something does not, else success."""
    if error is not None:
        return RunStatus.FAILED, error
    if counters.failed and counters.failed == counters.processed:
        return (
            RunStatus.FAILED,
            f"all {counters.failed} records were rejected; the quarantine has the reasons",
        )
    return (RunStatus.PARTIAL if counters.failed else RunStatus.SUCCESS), None


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended."""

    run_id: RunId
    source: SourceName
    status: RunStatus
    counters: RunCounters
    duration_ms: int
    error: str | None = None
    error_code: str | None = None
    resume_at: datetime | None = None
    """When a run that was parked goes on."""


def new_run_id(source: str) -> RunId:
    """`run_<source>_<8 hex>`; the database refuses the one in four billion that is taken."""
    return RunId(f"run_{source}_{secrets.token_hex(4)}")
