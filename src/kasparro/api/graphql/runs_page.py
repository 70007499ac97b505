"""Pages of runs, the latest first: behind a run, whose id is in the cursor."""

from __future__ import annotations

from typing import Final

import strawberry

from kasparro.api.graphql.connections import check_first, check_source, key_behind, page_info, refused
from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import global_id
from kasparro.api.graphql.operation_types import Run
from kasparro.api.graphql.record_types import PageInfo
from kasparro.api.graphql.scalars import BigInt
from kasparro.api.graphql.selection import selected
from kasparro.schemas.data import RunSummary
from kasparro.schemas.ingest import RunStatus
from kasparro.storage.runs import RunFilter

CURSOR: Final = "RunCursor"


@strawberry.type
class RunEdge:
    cursor: str
    node: Run


@strawberry.type
class RunConnection:
    edges: list[RunEdge]
    page_info: PageInfo
    total_count: BigInt | None = strawberry.field(description="Runs that match, wherever the page begins")

    @strawberry.field(description="The runs of the edges")
    @staticmethod
    def nodes(root: strawberry.Parent[RunConnection]) -> list[Run]:
        return [edge.node for edge in root.edges]


async def page_of_runs(
    info: Info, first: int, after: str | None, source: str | None, status: RunStatus | None
) -> RunConnection:
    """Raises `InvalidParameter`, `InvalidCursor`, and what the database raises."""
    check_first(first)
    check_source(source)
    context = info.context
    history = context.runtime.history
    before = None if after is None else await _before(info, after)
    found = await context.ask(lambda: history.runs(first + 1, which=RunFilter(source, status, before)))
    total = (
        await context.ask(lambda: history.count(RunFilter(source, status)))
        if "totalCount" in selected(info)
        else None
    )
    edges = [RunEdge(cursor=_cursor(run), node=run) for run in found[:first]]  # type: ignore[arg-type]  # stands behind it
    return RunConnection(
        edges=edges,
        page_info=page_info(edges, after, more=len(found) > first),
        total_count=total,  # type: ignore[arg-type]  # a whole number
    )


def _cursor(run: RunSummary) -> str:
    return global_id(CURSOR, run.run_id)


async def _before(info: Info, after: str) -> str:
    """The id of the run that a cursor is behind."""
    run_id = key_behind(CURSOR, after)
    if await info.context.ask(lambda: info.context.runtime.history.run(run_id)) is None:
        raise refused()
    return run_id
