"""Records that came late: what a batch changes in, a notice out when some of it is older than what was fetched before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from kasparro.core.durations import format_duration
from kasparro.core.etl_config import SourceDeclaration
from kasparro.core.moments import SECOND, format_named
from kasparro.ingestion.incremental.version import ReadVersion
from kasparro.schemas.ingest import Landed, Notice, NoticeCode

NoticeLate = Callable[[Sequence[Landed], int | None], Sequence[Notice]]
"""Records that are new or changed, and the mark up to which all were expected to be known, in; what to say of it out."""


def lateness(declaration: SourceDeclaration, read: ReadVersion | None) -> NoticeLate:
    declared = declaration.incremental
    if declared is None or read is None:
        return lambda _landed, _known_until: ()
    timed = format_named(declared.version_format).timed

    def notice(landed: Sequence[Landed], known_until: int | None) -> Sequence[Notice]:
        if known_until is None:
            return ()
        versions = [read(item.keyed.raw.payload) for item in landed if item.data is not None]
        late = [
            known_until - version for version in versions if version is not None and version < known_until
        ]
        if not late:
            return ()
        return (_notice(len(late), max(late), declared.lookback if timed else None),)

    return notice


def _notice(count: int, most: int, lookback: timedelta | None) -> Notice:
    came = f"{count:,} {'record' if count == 1 else 'records'} came late"
    if lookback is None:
        return Notice(
            NoticeCode.LATE_RECORDS, f"{came}, by up to {most:,}", {"records": count, "max_lateness": most}
        )
    seconds = -(-most // SECOND)
    late, advised = timedelta(seconds=seconds), timedelta(seconds=2 * seconds)
    says = f"the lookback is {format_duration(lookback)}"
    if lookback < advised:
        says += f"; {format_duration(advised)} would find such records with some room"
    details = {
        "records": count,
        "max_lateness_seconds": seconds,
        "lookback_seconds": lookback.total_seconds(),
    }
    return Notice(NoticeCode.LATE_RECORDS, f"{came}, by up to {format_duration(late)}; {says}", details)
