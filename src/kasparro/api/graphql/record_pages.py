"""Fields that answer pages of records: arguments and selection in, a connection out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec
import structlog

from kasparro.api.graphql.context import Info
from kasparro.api.graphql.query_arguments import RecordArguments, arguments_named, query_of
from kasparro.api.graphql.record_types import (
    ALWAYS,
    Facet,
    FacetValue,
    PageInfo,
    RecordConnection,
    RecordEdge,
    StoredFields,
    stored_fields,
)
from kasparro.api.graphql.selection import selected
from kasparro.api.searched import refuse_what_is_not_searched
from kasparro.core.errors import StorageError
from kasparro.schemas.query import FIELDS, KeyKind, Position, RecordQuery
from kasparro.services.record_cursor import write_cursor
from kasparro.storage.dataset import DatasetPage, DatasetRow

log = structlog.get_logger(__name__)

PYTHON_NAMES: Final = {
    "sourceName": "source",
    "sourceId": "source_id",
    "publishedAt": "published_at",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}
"""Of fields that are called otherwise in the dataset."""


async def page_of(info: Info, asked: RecordArguments) -> RecordConnection:
    """Raises `InvalidParameter`, `InvalidCursor`, and what the database raises."""
    wanted = selected(info)
    fields = record_fields(selected(info, "edges", "node") | selected(info, "nodes"))
    counted = asked.count if wanted & {"totalCount", "count"} else None
    runtime = info.context.runtime
    with arguments_named():
        query = query_of(replace(asked, fields=fields, count=counted))
        refuse_what_is_not_searched(query, runtime.catalog)
    page = await info.context.ask(lambda: runtime.dataset.page(query))
    return connection_of(query, page)


def record_fields(names: set[str]) -> list[str]:
    """The fields of the dataset that are needed to answer those of a record that have these names."""
    return [*ALWAYS, *sorted({PYTHON_NAMES.get(name, name) for name in names} & FIELDS.keys() - set(ALWAYS))]


def connection_of(query: RecordQuery, page: DatasetPage) -> RecordConnection:
    edges = [_edge(query, page, row, fields) for row, fields in _readable(page)]
    return RecordConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.next is not None,
            has_previous_page=query.after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=_end(query, page, edges),
        ),
        total_count=page.total,  # type: ignore[arg-type]  # a whole number
        count=page.count,
        facets=_facets(page),
        search_mode=page.mode,
        searched_sources=list(page.sources) if page.mode else None,
    )


def _end(query: RecordQuery, page: DatasetPage, edges: list[RecordEdge]) -> str | None:
    """Behind the whole page, even where its last row is no record and left out."""
    if page.next is not None:
        return write_cursor(query, page.next)
    return edges[-1].cursor if edges else None


def _readable(page: DatasetPage) -> list[tuple[DatasetRow, StoredFields]]:
    """A row that cannot be told is reported and left out; the others are served."""
    found = []
    for row in page.rows:
        try:
            found.append((row, stored_fields(row)))
        except StorageError as error:
            log.error("record.unreadable", id=row.id, source=row.source, error=str(error))  # noqa: TRY400  # no traceback
    return found


def _edge(query: RecordQuery, page: DatasetPage, row: DatasetRow, fields: Any) -> RecordEdge:
    mode = page.mode or Position(()).mode
    cursor = write_cursor(query, Position(row.keys, mode, page.total, page.count))
    ranked = query.sort_keys()[0].kind is KeyKind.RANK and row.keys[0] is not None
    return RecordEdge(cursor=cursor, node=fields, rank=float(row.keys[0] or 0) if ranked else None)


def _facets(page: DatasetPage) -> list[Facet] | None:
    if page.facets is None:
        return None
    return [
        Facet(field=name, values=[FacetValue(value=one["value"], count=one["count"]) for one in values])
        for name, values in msgspec.json.decode(page.facets).items()
    ]
