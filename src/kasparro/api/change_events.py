"""Changes as JSON and as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

`ChangeEvent` in `schemas.data` says the same for the documentation; a test holds answers against it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from msgspec import UNSET, Raw, UnsetType

from kasparro.api.exchange import Exchange
from kasparro.api.records import record_bytes
from kasparro.core.errors import StorageError
from kasparro.schemas.changes import Change, Changed, ChangeOp, FeedPosition
from kasparro.schemas.query import RecordQuery
from kasparro.services.feed_cursor import texts_behind, write_position
from kasparro.storage.dataset import DatasetRow

log = structlog.get_logger(__name__)

ENCODER: Final = msgspec.json.Encoder()
HEARTBEAT: Final = b": \n\n"
RETRY_MILLISECONDS: Final = 2000
"""After that, a client whose stream has ended asks again."""


class Event(msgspec.Struct, frozen=True):
    op: ChangeOp
    source: str
    version: int | UnsetType = UNSET
    id: int | UnsetType = UNSET
    source_id: str | UnsetType = UNSET
    record: Raw | UnsetType = UNSET


class ChangesPage(msgspec.Struct, frozen=True):
    request_id: str
    next_since: str
    more: bool
    api_latency_ms: float
    changes: Raw


def changes_bytes(exchange: Exchange, query: RecordQuery, changed: Changed) -> bytes:
    """The answer to a request for changes."""
    told = b",".join(text for change in changed.changes if (text := _text(change)) is not None)
    page = ChangesPage(
        request_id=exchange.request_id,
        next_since=write_position(query, changed.after),
        more=changed.more,
        api_latency_ms=round(exchange.milliseconds, 3),
        changes=Raw(b"[" + told + b"]"),
    )
    return ENCODER.encode(page)


def opening_bytes(query: RecordQuery, position: FeedPosition) -> bytes:
    """What a stream begins with: a client that hears no more than this goes on at the same place."""
    return f"retry: {RETRY_MILLISECONDS}\n".encode() + _id(write_position(query, position))


def event_bytes(query: RecordQuery, changed: Changed) -> bytes:
    """The changes as events, the id of each the position behind it; an id alone says that others, untold, were passed."""
    parts: list[bytes] = []
    told = ""
    for change, position in zip(
        changed.changes, texts_behind(query, changed.before, changed.changes), strict=True
    ):
        text = _text(change)
        if text is not None:
            told = position
            parts += (f"id: {position}\nevent: {change.op.value}\ndata: ".encode(), text, b"\n\n")
    after = write_position(query, changed.after)
    if after != (told or write_position(query, changed.before)):
        parts.append(_id(after))
    return b"".join(parts)


def _id(position: str) -> bytes:
    return f"id: {position}\n\n".encode()


def _text(change: Change) -> bytes | None:
    """Nothing for a row that is no record: it is reported, and spoils nothing but itself."""
    try:
        return ENCODER.encode(_event(change))
    except StorageError as error:
        log.error("record.unreadable", id=change.id, source=change.source, error=str(error))  # noqa: TRY400  # no traceback
        return None


def _event(change: Change) -> Event:
    match change.op:
        case ChangeOp.RESET | ChangeOp.GAP:
            return Event(change.op, change.source)
        case ChangeOp.DELETE:
            return Event(
                change.op, change.source, change.version or 0, change.id or 0, change.source_id or ""
            )
        case ChangeOp.UPSERT:
            record = record_bytes(DatasetRow(change.id or 0, change.source, change.record))
            return Event(
                change.op,
                change.source,
                change.version or 0,
                change.id or 0,
                change.source_id or "",
                Raw(record),
            )
