"""The last net: when PostgreSQL refuses a batch, find the records at fault, so that the rest can go in without them.

What is refused is found by writing it: halves of the batch through the very statements of a commit, in a transaction that is
rolled back. So whatever PostgreSQL has against a record (a text, its size, a constraint, a trigger), its reason is the real one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection, Rollback

from kasparro.core.database_errors import REFUSALS, first_line
from kasparro.core.errors import RecordRefused
from kasparro.schemas.ingest import Batch, Landed, Reject

Write = Callable[[Batch], Awaitable[None]]
Part = Landed | Reject


async def without_refused(
    connection: AsyncConnection[Any], write: Write, batch: Batch, error: RecordRefused
) -> Batch:
    """The *batch* as it can be stored, where it is only rejects that cannot: their payload goes to quarantine as text.

    Raises `RecordRefused`, naming them, while records that are meant for the dataset are at fault, and *error* when no
    single record is. Whatever is tried here is rolled back.
    """
    parts: Sequence[Part] = (*batch.new, *batch.changed, *batch.rejects)
    reasons: dict[int, str] = {}
    async with connection.transaction():
        await _find(connection, write, batch, parts, range(len(parts)), reasons)
        raise Rollback
    refused = {index: parts[index] for index in reasons}
    records = {
        part.keyed.external_id: reasons[index]
        for index, part in refused.items()
        if isinstance(part, Landed) and part.data is not None
    }
    if records or not refused:
        raise RecordRefused(error.message, records=records) from error
    return _storable(batch, set(map(id, refused.values())))


async def _find(
    connection: AsyncConnection[Any],
    write: Write,
    batch: Batch,
    parts: Sequence[Part],
    among: range,
    reasons: dict[int, str],
) -> None:
    """Halve until what is refused is a single record: n bad ones among m cost about n log m attempts."""
    reason = await _refusal(connection, write, _only(batch, [parts[index] for index in among]))
    if reason is None:
        return
    if len(among) == 1:
        reasons[among[0]] = reason
        return
    middle = len(among) // 2
    for half in (among[:middle], among[middle:]):
        await _find(connection, write, batch, parts, half, reasons)


async def _refusal(connection: AsyncConnection[Any], write: Write, part: Batch) -> str | None:
    try:
        async with connection.transaction():
            await write(part)
            raise Rollback
    except (*REFUSALS, UnicodeError) as error:
        return first_line(error)
    return None


def _only(batch: Batch, parts: Sequence[Part]) -> Batch:
    kept = set(map(id, parts))
    return Batch(
        new=[item for item in batch.new if id(item) in kept],
        changed=[item for item in batch.changed if id(item) in kept],
        rejects=[item for item in batch.rejects if id(item) in kept],
        replay=batch.replay,
    )


def _storable(batch: Batch, refused: set[int]) -> Batch:
    """A raw row that cannot be stored is left out; its reject, which counts it, is kept with the payload as text."""
    return replace(
        batch,
        new=[item for item in batch.new if id(item) not in refused],
        changed=[item for item in batch.changed if id(item) not in refused],
        rejects=[as_text(item) if id(item) in refused else item for item in batch.rejects],
    )


def as_text(reject: Reject) -> Reject:
    """The same reject with nothing in it that PostgreSQL could have something against."""
    text = reject.payload.decode(errors="backslashreplace")
    return replace(
        reject,
        payload=json.dumps(_plain(text)).encode(),
        message=_plain(reject.message),
        field=None if reject.field is None else _plain(reject.field),
    )


def _plain(text: str) -> str:
    return text.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
