"""The last net: when PostgreSQL refuses a batch, find the records at fault, so that the rest can go in without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors

from kasparro.schemas.ingest import Landed

ACCEPTS = "SELECT count(data::jsonb) FROM unnest(%s::text[]) AS u (data)"

REFUSALS = (psycopg.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


async def refused(connection: AsyncConnection[Any], landed: Sequence[Landed]) -> dict[str, str]:
    """The external ids of the records whose dataset value the database refuses, with its reason.

    Halves until what is refused is a single record: n bad ones among m cost about n log m questions.
    """
    reason = await _refusal(connection, landed)
    if reason is None:
        return {}
    if len(landed) == 1:
        return {landed[0].keyed.external_id: reason}
    middle = len(landed) // 2
    return await refused(connection, landed[:middle]) | await refused(connection, landed[middle:])


async def _refusal(connection: AsyncConnection[Any], landed: Sequence[Landed]) -> str | None:
    texts = [item.data.decode() for item in landed if item.data is not None]
    try:
        async with connection.transaction():
            await connection.execute(ACCEPTS, (texts,))
    except REFUSALS as error:
        return str(error).partition("\n")[0]
    return None
