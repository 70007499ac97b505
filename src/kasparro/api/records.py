"""Stored rows as JSON bytes: what the dataset holds is copied into the answer, not read and written again.

Every value of a record goes out as the text PostgreSQL gave, so that numbers keep their digits. `StoredRecord` and
`PaginatedResponse` in `schemas.data` say the same for the documentation; a test holds answers against them.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from msgspec import Raw

from kasparro.core.errors import StorageError
from kasparro.storage.dataset import DatasetPage, DatasetRow

log = structlog.get_logger(__name__)

NULL: Final = Raw(b"null")


class Fields(msgspec.Struct, frozen=True):
    """The fields of a DataRecord beside its identity, each as its own JSON text."""

    title: Raw = NULL
    description: Raw = NULL
    content: Raw = NULL
    author: Raw = NULL
    published_at: Raw = NULL
    url: Raw = NULL
    category: Raw = NULL
    metadata: Raw = Raw(b"{}")


class Record(msgspec.Struct, frozen=True):
    """One record of an answer, in the order in which people read."""

    id: int
    source: str
    source_id: str
    title: Raw
    description: Raw
    content: Raw
    author: Raw
    published_at: Raw
    url: Raw
    category: Raw
    metadata: Raw
    created_at: str
    updated_at: str


class RecordPage(msgspec.Struct, frozen=True):
    request_id: str
    total_count: int
    limit: int
    offset: int
    api_latency_ms: float
    data: list[Record]


ENCODER: Final = msgspec.json.Encoder()
FIELDS: Final = msgspec.json.Decoder(Fields)


def readable(page: DatasetPage) -> list[Record]:
    """The records of *page*. A row that cannot be told as JSON is reported and left out; the others are served."""
    records = []
    for row in page.rows:
        try:
            records.append(record_of(row))
        except StorageError as error:
            log.error("record.unreadable", id=row.id, source=row.source, error=str(error))  # noqa: TRY400  # no traceback
    return records


def record_of(row: DatasetRow) -> Record:
    """Raises `StorageError` when what is stored is not a record."""
    try:
        fields = FIELDS.decode(row.data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StorageError(f"record {row.id} of the dataset cannot be read: {error}") from error
    if row.created_at is None or row.updated_at is None:
        raise StorageError(f"record {row.id} of the dataset cannot be read: it has an impossible time")
    return Record(
        id=row.id,
        source=row.source,
        source_id=row.source_id,
        title=fields.title,
        description=fields.description,
        content=fields.content,
        author=fields.author,
        published_at=fields.published_at,
        url=fields.url,
        category=fields.category,
        metadata=fields.metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
