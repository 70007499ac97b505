"""Pages of the drift ledger, the latest first: behind a difference, whose number is in the cursor."""

from __future__ import annotations

from typing import Final

import strawberry

from kasparro.api.graphql.connections import check_first, check_source, number_behind, page_info
from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import global_id
from kasparro.api.graphql.record_types import PageInfo
from kasparro.api.graphql.scalars import BigInt, Json, Time
from kasparro.schemas.drift import Decision, DriftKind, DriftView
from kasparro.storage.drift import DriftFilter

CURSOR: Final = "DriftCursor"

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
    check_source(source)
    which = DriftFilter(source, None if after is None else number_behind(CURSOR, after))
    ledger = info.context.runtime.drift
    found = await info.context.ask(lambda: ledger.latest(first + 1, which=which))
    edges = [DriftEdge(cursor=_cursor(drift), node=drift) for drift in found[:first]]  # type: ignore[arg-type]  # stands behind it
    return DriftConnection(
        edges=edges,
        page_info=page_info(edges, after, more=len(found) > first),
    )


def _cursor(drift: DriftView) -> str:
    return global_id(CURSOR, drift.id)
