"""A run cannot go on."""

from __future__ import annotations

from datetime import datetime

from kasparro.core.errors.base import KasparroError


class RunError(KasparroError):
    """The run cannot go on."""

    code = "run"


class LeaseHeld(RunError):
    """Another process is ingesting this source."""

    code = "source_running"

    def __init__(self, source: str, holder: str, run_id: str | None, expires_at: datetime) -> None:
        self.source, self.holder, self.run_id, self.expires_at = source, holder, run_id, expires_at
        super().__init__(
            f"source {source!r} is being ingested by {holder} (run {run_id})",
            hint=f"Wait for it to finish; if that process died, its lease ends at {expires_at:%H:%M:%S} UTC by itself",
        )


class LeaseLost(RunError):
    """Another process has taken this source over; this run may not write any more."""

    code = "lease_lost"


class RunInterrupted(RunError):
    """The run was asked to stop; what is committed stays, and the next run resumes after it."""

    code = "interrupted"


class SchemaFrozen(RunError):
    """The shape of the records has changed, and the source is declared to stop for that."""

    code = "schema_frozen"

    def __init__(self, source: str, changes: str, place: str | None) -> None:
        where = f"{place}: " if place else ""
        super().__init__(
            f"{where}the shape of the records has changed, and `drift: freeze` is declared: {changes}",
            hint=f"`kasparro drift list --source {source}` shows it; if it is right, `kasparro drift accept {source} --all` "
            "and run again: that run goes on after the last committed batch",
        )
