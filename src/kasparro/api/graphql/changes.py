"""The change feed: asked for by a query, or followed by a subscription, which is told what comes as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import strawberry
import structlog

from kasparro.api.graphql.context import Context
from kasparro.api.graphql.inputs import RecordFilter
from kasparro.api.graphql.query_arguments import filter_text
from kasparro.api.graphql.record_types import Record, stored_fields
from kasparro.api.graphql.scalars import BigInt
from kasparro.core import clock
from kasparro.core.errors import StorageError
from kasparro.schemas.changes import Change, Changed, ChangeOp
from kasparro.schemas.query import RecordQuery
from kasparro.services.change_text import Followed, parse_changes
from kasparro.services.feed_cursor import texts_behind, write_position
from kasparro.storage.dataset import DatasetRow

log = structlog.get_logger(__name__)

strawberry.enum(
    ChangeOp,
    description="UPSERT: new or changed. DELETE: not, or no more, among what is followed. RESET: forget what you have of "
    "this source. GAP: of this source, some changes cannot be told.",
)


@strawberry.type(description="A change of one record, or of what can be told of a source.")
class RecordChange:
    op: ChangeOp
    source: str
    version: BigInt | None = strawberry.field(
        description="The dataset version of the source that made the change"
    )
    record_id: BigInt | None
    source_id: str | None
    record: Record | None = strawberry.field(description="With UPSERT: the record as it is now")
    cursor: str = strawberry.field(description="The `since` that goes on behind this change")


@strawberry.type
class RecordChanges:
    changes: list[RecordChange]
    cursor: str = strawberry.field(description="The `since` that goes on behind these changes")
    more: bool = strawberry.field(description="There are others already; otherwise ask again later")


def followed(
    since: str | None,
    source: str | None,
    filter: RecordFilter | None,  # noqa: A002  # the name is part of the API
    fields: list[str],
    first: int = 100,
) -> Followed:
    """What a follower asks for. Raises `InvalidParameter`, `InvalidCursor`."""
    given = {
        "since": since,
        "source": source,
        "filter": filter_text(filter),
        "fields": ",".join(fields),
        "limit": str(first),
    }
    return parse_changes([(name, text) for name, text in given.items() if text is not None])


async def first_changes(context: Context, asked: Followed) -> Changed:
    """What there is behind the position asked for; without one, nothing yet, from now on."""
    changes, position = context.runtime.changes, asked.position
    if position is None:
        return await begin(context, asked)
    return await context.ask(lambda: changes.read(asked.query, position, asked.limit))


async def begin(context: Context, asked: Followed) -> Changed:
    """Where a subscription begins, with nothing of what there is."""
    return await context.ask(lambda: context.feed.begin(asked.query, asked.position))


def page_of_changes(query: RecordQuery, changed: Changed) -> RecordChanges:
    return RecordChanges(
        changes=told(query, changed), cursor=write_position(query, changed.after), more=changed.more
    )


async def follow(context: Context, asked: Followed, first: Changed) -> AsyncGenerator[RecordChange, None]:
    """One change after the other, for as long as its key is good. Between them nothing of the database is held."""
    due = clock.monotonic() + context.check_seconds
    async for batch in context.feed.batches(asked.query, first, reader=context.reader):
        if clock.monotonic() >= due:
            await context.admitted()
            due = clock.monotonic() + context.check_seconds
        context.forget()
        for change in told(asked.query, batch.changed) if batch else ():
            yield change


def told(query: RecordQuery, changed: Changed) -> list[RecordChange]:
    """The changes with the position behind each. A row that is no record is reported, and spoils nothing but itself."""
    found = []
    for change, position in zip(
        changed.changes, texts_behind(query, changed.before, changed.changes), strict=True
    ):
        try:
            found.append(_change(change, position))
        except StorageError as error:
            log.error("record.unreadable", id=change.id, source=change.source, error=str(error))  # noqa: TRY400  # no traceback
    return found


def _change(change: Change, cursor: str) -> RecordChange:
    row = DatasetRow(change.id or 0, change.source, change.record)
    record: Any = stored_fields(row) if change.op is ChangeOp.UPSERT else None
    return RecordChange(
        op=change.op,
        source=change.source,
        version=change.version,  # type: ignore[arg-type]  # a whole number
        record_id=change.id,  # type: ignore[arg-type]  # likewise
        source_id=change.source_id,
        record=record,
        cursor=cursor,
    )
