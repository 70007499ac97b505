"""Pages of runs, the latest first: behind a run, whose id is in the cursor."""

from __future__ import annotations

from typing import Final

import strawberry

from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import global_id, parse_global_id
from kasparro.api.graphql.operation_types import Run
from kasparro.api.graphql.record_types import PageInfo
from kasparro.api.graphql.scalars import BigInt
from kasparro.api.graphql.selection import selected
from kasparro.core.errors import InvalidCursor, InvalidParameter
from kasparro.schemas.data import RunSummary
from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.query import MOST_LIMIT
from kasparro.services.query_values import SOURCE
from kasparro.storage.runs import RunFilter

CURSOR: Final = "RunCursor"
NO_SOURCE: Final = "a source has a name of a-z, 0-9 and _, at most 50 characters"


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
    if source is not None and not SOURCE.fullmatch(source):
        raise InvalidParameter("source", NO_SOURCE)
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
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=total,  # type: ignore[arg-type]  # a whole number
    )


def check_first(first: int, most: int = MOST_LIMIT) -> None:
    if not 1 <= first <= most:
        raise InvalidParameter("first", f"must be a whole number from 1 to {most}")


def _cursor(run: RunSummary) -> str:
    return global_id(CURSOR, run.run_id)


async def _before(info: Info, after: str) -> str:
    """The id of the run that a cursor is behind."""
    refused = InvalidCursor()
    refused.parameter = "after"
    try:
        kind, run_id = parse_global_id("after", after)
    except InvalidParameter as error:
        raise refused from error
    if kind != CURSOR or await info.context.ask(lambda: info.context.runtime.history.run(run_id)) is None:
        raise refused
    return run_id
