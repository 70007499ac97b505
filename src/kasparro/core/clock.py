"""Time, always aware and UTC. Durations come from `monotonic`, never from differences of `now`."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that never goes backwards."""
    return time.monotonic()


def epoch() -> float:
    """Seconds since 1970, for times that are shared with other machines."""
    return time.time()
