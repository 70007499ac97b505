from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import PermanentSourceError, SourceParked, TransientSourceError
from kasparro.core.etl_config import Retry
from kasparro.ingestion.http.gate import Gate
from kasparro.ingestion.http.retry import Waiting, wait_before, with_retries
from kasparro.ingestion.limits import LocalLimits
from kasparro.schemas.limits import Policy

pytestmark = pytest.mark.anyio

POLICY = Retry(attempts=5, base=timedelta(seconds=1), max=timedelta(seconds=60))
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Failing:
    """Raises *errors* in turn, then succeeds; sleeping takes no time but that of its own clock."""

    def __init__(self, *errors: Exception, chance: float = 0.0) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []
        self.waiting = Waiting(
            self.sleep, lambda: NOON + timedelta(seconds=self.at()), lambda: chance, self.at
        )
        self.gate = Gate(Policy("x"), LocalLimits(self.waiting.now), self.waiting)

    def at(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def attempt(self) -> str:
        await self.gate.passed()
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def run(self, policy: Retry = POLICY) -> str:
        return await with_retries(self.attempt, policy, self.waiting, self.gate)


async def test_a_passing_failure_is_tried_again_until_it_has_passed():
    failing = Failing(*[TransientSourceError("no")] * 4)
    assert await failing.run() == "done"
    assert failing.slept == [1.0, 2.0, 4.0, 8.0]


async def test_attempts_in_all_are_bounded():
    failing = Failing(*[TransientSourceError(str(number)) for number in range(9)])
    with pytest.raises(TransientSourceError, match="4") as caught:
        await failing.run()
    assert (failing.calls, len(failing.slept), caught.value.tried_enough) == (5, 4, True)


async def test_no_attempt_begins_after_the_total():
    failing = Failing(*[TransientSourceError("no")] * 20)
    with pytest.raises(TransientSourceError) as caught:
        await failing.run(Retry(attempts=20, total=timedelta(seconds=7)))
    assert (failing.slept, caught.value.tried_enough) == ([1.0, 2.0, 4.0], True)


async def test_a_source_that_is_only_probed_is_asked_once():
    failing = Failing(*[TransientSourceError("no")] * 5)
    failing.gate.probing = True
    with pytest.raises(TransientSourceError):
        await failing.run()
    assert (failing.calls, failing.slept) == (1, [])


@pytest.mark.parametrize("error", [PermanentSourceError("no"), ValueError("defect")])
async def test_nothing_else_is_tried_again(error):
    failing = Failing(error)
    with pytest.raises(type(error)):
        await failing.run()
    assert failing.slept == []


async def test_a_long_rest_is_not_slept_away():
    failing = Failing(TransientSourceError("no", retry_after=60.5))
    with pytest.raises(SourceParked) as parked:
        await failing.run()
    assert failing.slept == []
    assert (parked.value.resume_at, parked.value.asked) == (NOON + timedelta(seconds=60.5), True)


async def test_a_rest_asked_for_with_the_last_attempt_parks_too():
    errors = [TransientSourceError("no")] * 4 + [TransientSourceError("no", retry_after=3600)]
    with pytest.raises(SourceParked):
        await Failing(*errors).run()


@given(st.integers(2, 20), st.floats(0, 600), st.floats(0, 1))
@settings(deadline=None)
def test_a_wait_is_within_its_bounds_and_never_earlier_than_asked(attempt, asked, chance):
    wait = wait_before(attempt, POLICY, asked, chance)
    assert asked <= wait <= max(asked, min(60, 2 ** (attempt - 2)))


def test_chance_spreads_the_waits_over_all_of_their_length():
    assert wait_before(3, POLICY, 0.0, 0.0) == 2.0
    assert wait_before(3, POLICY, 0.0, 0.5) == 1.0
    assert wait_before(3, POLICY, 0.0, 1.0) == 0.0
    assert wait_before(3, POLICY, 1.5, 1.0) == 1.5
