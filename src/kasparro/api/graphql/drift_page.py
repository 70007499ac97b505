"""Pages of the drift ledger, the latest first: behind a difference, whose number is in the cursor."""

from __future__ import annotations

from typing import Final

import strawberry

from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import global_id, parse_global_id
from kasparro.api.graphql.record_types import PageInfo
from kasparro.api.graphql.runs_page import NO_SOURCE, check_first
from kasparro.api.graphql.scalars import BigInt, Json, Time
from kasparro.core.errors import InvalidCursor, InvalidParameter
from kasparro.schemas.drift import Decision, DriftKind, DriftView
from kasparro.schemas.query import INT64_MAX
from kasparro.services.query_values import SOURCE
from kasparro.storage.drift import DriftFilter

CURSOR: Final = "DriftCursor"
LONGEST_NUMBER: Final = 19

strawberry.enum(DriftKind, description="In what a field differs.")
strawberry.enum(Decision, description="QUARANTINED and FROZEN wait for an operator; the others are accepted.")


@strawberry.type(description="How one field of a source's records differs from what it looked like before.")
class Drift:
    drift_id: BigInt = strawberry.field(resolver=lambda root: root.id)
    source: str
    field_path: str
    kind: DriftKind
    before: Json | None
    after: Json | None
    confidence: float = strawberry.field(description="From 0 to 1: how sure it is that this is what happened")
    first_seen_run: str
    example: Json | None = strawberry.field(
        description="Where a record stands that shows it, and its value there"
    )
    decision: Decision
    detected_at: Time
    decided_at: Time | None = strawberry.field(description="When an operator accepted it")


@strawberry.type
class DriftEdge:
    cursor: str
    node: Drift


@strawberry.type
class DriftConnection:
    edges: list[DriftEdge]
    page_info: PageInfo

    @strawberry.field(description="The differences of the edges")
    @staticmethod
    def nodes(root: strawberry.Parent[DriftConnection]) -> list[Drift]:
        return [edge.node for edge in root.edges]


async def page_of_drifts(info: Info, first: int, after: str | None, source: str | None) -> DriftConnection:
    """Raises `InvalidParameter`, `InvalidCursor`, and what the database raises."""
    check_first(first)
    if source is not None and not SOURCE.fullmatch(source):
        raise InvalidParameter("source", NO_SOURCE)
    which = DriftFilter(source, None if after is None else _before(after))
    ledger = info.context.runtime.drift
    found = await info.context.ask(lambda: ledger.latest(first + 1, which=which))
    edges = [DriftEdge(cursor=_cursor(drift), node=drift) for drift in found[:first]]  # type: ignore[arg-type]  # stands behind it
    return DriftConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


def _cursor(drift: DriftView) -> str:
    return global_id(CURSOR, drift.id)


def _before(after: str) -> int:
    """The number of the difference that a cursor is behind."""
    refused = InvalidCursor()
    refused.parameter = "after"
    try:
        kind, key = parse_global_id("after", after)
    except InvalidParameter as error:
        raise refused from error
    known = kind == CURSOR and key.isascii() and key.isdecimal() and len(key) <= LONGEST_NUMBER
    if not known or int(key) > INT64_MAX:
        raise refused
    return int(key)
