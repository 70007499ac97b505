from __future__ import annotations

import pytest

from kasparro.core.errors import DatabaseUnavailable
from kasparro.storage.job_claims import PRUNE_AT_ONCE
from kasparro.worker.maintenance import Maintenance
from kasparro.worker.pace import Pace
from kasparro.worker.supervision import Outage

pytestmark = pytest.mark.anyio

PACE = Pace(silent_for=15.0, pruning=3600.0)


class Claims:
    """Counts the rounds; pruning finds as many old jobs as it is told."""

    def __init__(self, *old: int) -> None:
        self.old = list(old)
        self.prunings = 0

    async def prune(self) -> int:
        self.prunings += 1
        return self.old.pop(0) if self.old else 0


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def maintenance(claims: Claims, outage: Outage, time: Time) -> Maintenance:
    return Maintenance(claims, outage, PACE, 12.0, lambda: None, clock=time)


async def test_nobody_is_taken_for_dead_right_after_an_outage():
    """The fake has no database to look into: looking would be an AttributeError."""
    time = Time()
    outage = Outage(clock=time)
    outage.noticed(DatabaseUnavailable("gone"))
    await maintenance(Claims(), outage, time).step()
    outage.over()
    time.seconds += 14.9
    await maintenance(Claims(), outage, time).step()

    time.seconds += 0.1
    with pytest.raises(AttributeError):
        await maintenance(Claims(), outage, time).step()


async def test_old_jobs_are_forgotten_each_hour_and_at_once_again_while_there_are_more():
    time = Time()
    outage = Outage(clock=time)
    outage.noticed(DatabaseUnavailable("gone"))
    claims = Claims(PRUNE_AT_ONCE, 3)
    rounds = maintenance(claims, outage, time)
    for _ in range(5):
        await rounds.step()
    assert claims.prunings == 2
    time.seconds += 3600
    await rounds.step()
    assert claims.prunings == 3
