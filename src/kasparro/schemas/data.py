"""The unified record and the answers made of it: what users of the API see."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from kasparro.schemas.changes import ChangeOp
from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.query import Count, SearchMode

MAX_ID = 255
"""Most characters of a record's identity in its source."""


Text = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[^\x00]*$"),  # JSONB cannot hold a NUL character
    WithJsonSchema({"type": "string"}),
]


class DataRecord(BaseModel):
    """One record of the unified dataset, whatever source it came from."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    source: str = Field(description="Name of the declared source")
    source_id: str = Field(min_length=1, max_length=MAX_ID, description="Identity within the source")
    title: Text | None = None
    description: Text | None = None
    content: Text | None = None
    author: Text | None = None
    published_at: AwareDatetime | None = Field(None, description="Always UTC")
    url: Text | None = None
    category: Text | None = None
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="Every source field that no mapping took and, for mapped values that had to be converted, the original",
    )


MAPPED_FIELDS = ("title", "description", "content", "author", "published_at", "url", "category")
"""The fields of DataRecord that a source's `map` fills."""


class Highlight(BaseModel):
    """Snippets of the fields with a hit."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    title: str | None = None
    description: str | None = None
    content: str | None = None


class StoredRecord(DataRecord):
    """A record as served: with the dataset's own id and times."""

    model_config = ConfigDict(defer_build=True)

    id: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    highlight: Highlight | None = Field(
        None,
        description="Only in answers to a search: where its words stand, as HTML with `<mark>` and no other markup",
    )


class SparseRecord(BaseModel):
    """The fields of a record that `fields` asks for; a metadata path has its name as written."""

    model_config = ConfigDict(defer_build=True, extra="allow")


class Answer(BaseModel):
    """What the API answers. Built when first used: a command that ingests has no need of it."""

    model_config = ConfigDict(defer_build=True)


class FacetValue(Answer):
    value: str | None = Field(description="The first 100 characters; null: records without a value")
    count: int


class SearchedHow(Answer):
    mode: SearchMode = Field(
        description="`similar`: no record has the words, these have titles that look like them"
    )
    sources: list[str] = Field(description="The sources that were searched")


class PaginatedResponse(Answer):
    request_id: str
    as_of: AwareDatetime = Field(description="Whatever was committed before this moment is in the answer")
    stale: bool | None = Field(
        description="Of one source that declares its `freshness`: whether its last good run is older; else null"
    )
    total_count: int | None = Field(
        ge=0, description="Records that match; with a cursor, as counted for the first page"
    )
    count: Count = Field(description="How `total_count` came about")
    limit: int
    offset: int
    next_cursor: str | None = Field(description="Where the next page begins; null: this is the last one")
    api_latency_ms: float = Field(description="Milliseconds from the request's arrival to this answer")
    data: list[StoredRecord | SparseRecord]
    facets: dict[str, list[FacetValue]] | None = Field(
        None, description="Only with `facets`: the most frequent values"
    )
    search: SearchedHow | None = Field(None, description="Only with `q`")


class ChangeEvent(Answer):
    """A change of one record, or of what can be told of a source. An event of a stream has the same as its data."""

    op: ChangeOp
    source: str
    version: int | None = Field(None, description="The dataset version of the source that made the change")
    id: int | None = Field(None, description="The dataset's own id of the record")
    source_id: str | None = None
    record: StoredRecord | SparseRecord | None = Field(
        None, description="With `upsert`: the record as it is now"
    )


class ChangesResponse(Answer):
    request_id: str
    next_since: str = Field(description="The `since` that goes on behind these changes; never null")
    more: bool = Field(description="There are others already; otherwise ask again later")
    api_latency_ms: float
    changes: list[ChangeEvent]


class RunSummary(Answer):
    run_id: str
    source: str
    status: RunStatus
    records_processed: int
    records_inserted: int
    records_updated: int
    records_unchanged: int
    records_failed: int
    records_duplicates: int
    records_deleted: int = Field(
        description="Left the dataset, since a complete fetch no longer showed them; not among the processed"
    )
    start_time: AwareDatetime
    end_time: AwareDatetime | None
    duration_ms: int | None
    error_message: str | None
    metadata: dict[str, Any]
    stale: bool = Field(
        description="Still in progress, but its process has not been heard of for longer than its lease"
    )
    resume_at: AwareDatetime | None = Field(
        None, description="Parked: a run that continues this one is queued then; null once one has been"
    )


class SourceStats(Answer):
    source: str
    record_count: int = Field(description="Records in the dataset now")
    records_processed: int
    records_inserted: int
    records_updated: int
    records_unchanged: int
    records_failed: int
    records_duplicates: int
    records_deleted: int = Field(
        description="Left the dataset, since a complete fetch no longer showed them; not among the processed"
    )
    last_success_timestamp: AwareDatetime | None
    last_failure_timestamp: AwareDatetime | None


class ETLStats(Answer):
    """Totals are of all time; `runs` are the latest."""

    last_run_id: str | None
    total_records_processed: int
    total_records_inserted: int
    total_records_failed: int
    total_records_deleted: int
    last_run_timestamp: AwareDatetime | None
    last_run_status: RunStatus | None
    last_success_timestamp: AwareDatetime | None
    last_failure_timestamp: AwareDatetime | None
    runs: list[RunSummary]
    sources: list[SourceStats]


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class HealthStatus(Answer):
    """`degraded`: serving, but the last run of some source failed, or is older than promised. `unhealthy` (503): cannot serve."""

    status: Health
    db_connected: bool
    etl_last_run: AwareDatetime | None
    etl_status: RunStatus | None
    version: str
    time: datetime
    detail: str | None = None


class CheckpointView(Answer):
    source: str
    status: str
    last_processed_id: str | None
    last_processed_timestamp: AwareDatetime | None
    checkpoint_timestamp: AwareDatetime
    cursor: dict[str, Any] | None
    version: int = Field(description="Dataset version: +1 for each commit that changed data")
    record_count: int


class SourceView(Answer):
    name: str
    type: str | None = Field(description="null for a source that has data and is no longer declared")
    description: str | None
    enabled: bool
    declared: bool
    schedule: str | None
    freshness_seconds: float | None = Field(
        None, description="How old its last good run may be; null: nothing is promised"
    )
    stale: bool | None = Field(None, description="Whether it is older; null where nothing is promised")
    record_count: int
    version: int
    running: bool
    last_run: RunSummary | None
    not_before: AwareDatetime | None = Field(
        None, description="It is not asked before: it asked for a rest, its budget is used up, or it is down"
    )
    not_asked: str | None = Field(None, description="Why not, in words")


class QueuedRun(Answer):
    source: str
    run_id: str


class RunRequestAccepted(Answer):
    runs: list[QueuedRun]


class Problem(Answer):
    """An error, as `application/problem+json` (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; documented in docs/errors.md")
    request_id: str
    parameter: str | None = None
    hint: str | None = None
