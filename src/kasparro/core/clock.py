"""Time, always aware and UTC. Durations come from `monotonic`, never from differences of `now`.

`epoch` is in seconds since 1970, for times that are shared with other machines.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from time import time as epoch

__all__ = ["epoch", "monotonic", "now"]


def now() -> datetime:
    return datetime.now(UTC)
