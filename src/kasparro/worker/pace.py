"""How often the worker does what, and how long it waits. All in seconds; the defaults are for production."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """`silent_for` must be several heartbeats, and `backoff` well below it: a worker that lives must be seen to live."""

    heartbeat: float = 3.0
    silent_for: float = 12.0
    """A worker without a sign of life for so long is gone, and its jobs are taken over."""
    poll: float = 5.0
    """Jobs are announced by NOTIFY; this is for the announcements that were lost, and for jobs that wait for their time."""
    maintenance: float = 1.0
    pruning: float = 3600.0
    busy: float = 5.0
    """Between two tries of a job whose source is being ingested in the foreground."""
    busy_tries: int = 120
    backoff: float = 5.0
    """The longest pause between tries while the database is away."""
    grace: float = 30.0
    """How long runs get to finish their batch when the worker is told to stop."""
