"""What a complete fetch of a `snapshot` source has not shown is deleted; what cannot be told for certain is left, and said.

Called by `runner` after the last batch of a fetch is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kasparro.core.errors import RunInterrupted
from kasparro.ingestion.ports import RunSession
from kasparro.schemas.ingest import Absence, Notice, NoticeCode, SourceName

FEW: Final = 20
"""Of fewer records than this any share may go."""


async def delete_absent(
    source: SourceName,
    session: RunSession,
    stop: asyncio.Event,
    told: Callable[[Notice], None],
    *,
    allowed: bool,
) -> None:
    """Delete what the fetch has not shown, in batches. Raises `RunInterrupted` between two: the next fetch deletes the rest."""
    absence = await session.absence()
    notice = withheld(absence, source, allowed=allowed)
    if notice is not None:
        await session.withhold(notice)
        told(notice)
        return
    after: str | None = ""
    while absence.records and after is not None:
        after = await session.delete_absent(after)
        if stop.is_set():
            raise RunInterrupted
    await session.forget_seen()


def withheld(absence: Absence, source: str, *, allowed: bool) -> Notice | None:
    """Why nothing is deleted, if so."""
    if absence.fault is not None:
        message = f"nothing was deleted, as this fetch may not have shown all there is: {absence.fault}"
        return Notice(NoticeCode.DELETIONS_WITHHELD, message)
    if allowed or absence.stored < FEW or 2 * absence.in_dataset <= absence.stored:
        return None
    message = (
        f"{absence.in_dataset:,} of {absence.stored:,} records are no longer in the source: that is more than half, and none was"
        f" deleted; if it is true: kasparro ingest {source} --full --allow-deletions"
    )
    return Notice(NoticeCode.DELETIONS_WITHHELD, message, {"absent": absence.in_dataset})
