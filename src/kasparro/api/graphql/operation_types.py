"""Types of the operator's view: runs, sources, checkpoints, statistics. What stands behind each is a value of `schemas.data`."""

from __future__ import annotations

from typing import Annotated, Any, cast

import strawberry

from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import Node, global_id, identified
from kasparro.api.graphql.scalars import BigInt, Json, Time
from kasparro.schemas.data import RunSummary, SourceView
from kasparro.schemas.ingest import RunStatus

LazySource = Annotated["Source", strawberry.lazy("kasparro.api.graphql.operation_types")]


@strawberry.type(
    description="One run of one source. Its counters balance: processed is the sum of the next five."
)
class Run(Node):
    id: strawberry.ID = identified(lambda root: global_id("Run", root.run_id))
    run_id: str
    source_name: str = strawberry.field(resolver=lambda root: root.source)
    status: RunStatus
    records_processed: BigInt
    records_inserted: BigInt
    records_updated: BigInt
    records_unchanged: BigInt
    records_failed: BigInt
    records_duplicates: BigInt
    records_deleted: BigInt = strawberry.field(
        description="Left the dataset, since a complete fetch no longer showed them"
    )
    start_time: Time
    end_time: Time | None
    duration_ms: BigInt | None
    error_message: str | None
    metadata: Json
    stale: bool = strawberry.field(
        description="Still in progress, but its process has not been heard of for longer than its lease"
    )
    resume_at: Time | None = strawberry.field(
        description="Parked: a run that continues this one is queued then"
    )

    @strawberry.field
    @staticmethod
    async def source(root: strawberry.Parent[RunSummary], info: Info) -> LazySource | None:
        return cast("Source | None", await info.context.sources.load(root.source))

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, RunSummary)


@strawberry.type(description="A source that is declared, or has data.")
class Source(Node):
    id: strawberry.ID = identified(lambda root: global_id("Source", root.name))
    name: str
    type: str | None = strawberry.field(description="null: it has data and is no longer declared")
    description: str | None
    enabled: bool
    declared: bool
    schedule: str | None
    record_count: BigInt = strawberry.field(description="Its records in the dataset")
    version: BigInt = strawberry.field(description="Dataset version: +1 for each commit that changed data")
    running: bool
    last_run: Run | None
    not_before: Time | None = strawberry.field(
        description="It is not asked before: it asked for a rest, its budget is used up, or it is down"
    )
    not_asked: str | None = strawberry.field(description="Why not, in words")

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, SourceView)


@strawberry.type(description="Where a source stands.")
class Checkpoint:
    source: str
    status: str
    last_processed_id: str | None
    last_processed_timestamp: Time | None
    checkpoint_timestamp: Time
    cursor: Json | None
    version: BigInt = strawberry.field(description="Dataset version: +1 for each commit that changed data")
    record_count: BigInt


@strawberry.type(description="The sums of all runs of a source.")
class SourceStats:
    source: str
    record_count: BigInt = strawberry.field(description="Records in the dataset now")
    records_processed: BigInt
    records_inserted: BigInt
    records_updated: BigInt
    records_unchanged: BigInt
    records_failed: BigInt
    records_duplicates: BigInt
    records_deleted: BigInt = strawberry.field(
        description="Left the dataset, since a complete fetch no longer showed them"
    )
    last_success_timestamp: Time | None
    last_failure_timestamp: Time | None


@strawberry.type(description="Totals of all time, and the latest run.")
class Stats:
    last_run_id: str | None
    last_run_timestamp: Time | None
    last_run_status: RunStatus | None
    last_success_timestamp: Time | None
    last_failure_timestamp: Time | None
    total_records_processed: BigInt
    total_records_inserted: BigInt
    total_records_failed: BigInt
    total_records_deleted: BigInt
    sources: list[SourceStats]
