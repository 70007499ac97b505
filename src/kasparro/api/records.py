"""Stored records as JSON bytes: what PostgreSQL made of them is copied into the answer, not read and written again.

`StoredRecord` and `PaginatedResponse` in `schemas.data` say the same for the documentation; a test holds answers against them.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from msgspec import UNSET, Raw, UnsetType

from kasparro.core.errors import StorageError
from kasparro.schemas.query import RecordQuery
from kasparro.services.record_cursor import write_cursor
from kasparro.storage.dataset import DatasetPage, DatasetRow

log = structlog.get_logger(__name__)

MANY_BRACKETS: Final = 200
"""A record with fewer cannot be nested more deeply than every JSON parser reads."""


class SearchAnswer(msgspec.Struct, frozen=True):
    mode: str
    sources: list[str]


class Beginning(msgspec.Struct, frozen=True):
    """What a page says before its time."""

    total_count: int | None
    count: str
    limit: int
    offset: int
    next_cursor: str | None


class End(msgspec.Struct, frozen=True):
    """What it says after that."""

    data: Raw
    facets: Raw | UnsetType = UNSET
    search: SearchAnswer | UnsetType = UNSET


ENCODER: Final = msgspec.json.Encoder()


def page_texts(query: RecordQuery, page: DatasetPage, cursor: str | None) -> tuple[bytes, bytes]:
    """The answer to *query* around its time, without its own name; *cursor* goes on behind it."""
    records = b"[" + b",".join(readable(page)) + b"]"
    beginning = Beginning(page.total, page.count, query.limit, query.offset, cursor)
    end = End(
        data=Raw(records),
        facets=UNSET if page.facets is None else Raw(page.facets.encode()),
        search=UNSET if page.mode is None else SearchAnswer(page.mode, list(page.sources)),
    )
    before = b"," + ENCODER.encode(beginning)[1:-1] + b',"api_latency_ms":'
    return before, b"," + ENCODER.encode(end)[1:]


def next_cursor(query: RecordQuery, page: DatasetPage) -> str | None:
    return None if page.next is None else write_cursor(query, page.next)


def readable(page: DatasetPage) -> list[bytes]:
    """The records of *page*. A row that cannot be told as JSON is reported and left out; the others are served."""
    records = []
    for row in page.rows:
        try:
            records.append(record_bytes(row))
        except StorageError as error:
            log.error("record.unreadable", id=row.id, source=row.source, error=str(error))  # noqa: TRY400  # no traceback
    return records


def record_bytes(row: DatasetRow) -> bytes:
    """Raises `StorageError` when what is stored is not a record."""
    if row.record is None:
        raise StorageError(
            f"record {row.id} of the dataset cannot be read: it is no object, or has an impossible time"
        )
    text = row.record.encode()
    if text.count(b"{") + text.count(b"[") > MANY_BRACKETS:
        try:
            msgspec.json.decode(text)
        except RecursionError as error:
            raise StorageError(
                f"record {row.id} of the dataset cannot be read: it is nested too deeply"
            ) from error
    return text
