from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import PermanentSourceError, TransientSourceError
from kasparro.core.etl_config import Retry
from kasparro.ingestion.http.pause import Pause
from kasparro.ingestion.http.retry import Waiting, wait_before, with_retries

pytestmark = pytest.mark.anyio

POLICY = Retry(attempts=5, base=timedelta(seconds=1), max=timedelta(seconds=60))


class Failing:
    """Raises *errors* in turn, then succeeds; sleeping takes no time."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []

    async def attempt(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def waiting(self, chance: float = 0.0) -> Waiting:
        return Waiting(sleep=self.sleep, chance=lambda: chance)


async def test_a_passing_failure_is_tried_again_until_it_has_passed():
    failing = Failing(*[TransientSourceError("no")] * 4)
    assert await with_retries(failing.attempt, POLICY, failing.waiting(), Pause()) == "done"
    assert failing.slept == [1.0, 2.0, 4.0, 8.0]


async def test_attempts_in_all_are_bounded():
    failing = Failing(*[TransientSourceError(str(number)) for number in range(9)])
    with pytest.raises(TransientSourceError, match="4"):
        await with_retries(failing.attempt, POLICY, failing.waiting(), Pause())
    assert (failing.calls, len(failing.slept)) == (5, 4)


@pytest.mark.parametrize("error", [PermanentSourceError("no"), ValueError("defect")])
async def test_nothing_else_is_tried_again(error):
    failing = Failing(error)
    with pytest.raises(type(error)):
        await with_retries(failing.attempt, POLICY, failing.waiting(), Pause())
    assert failing.slept == []


async def test_a_long_rest_is_not_slept_away():
    failing = Failing(TransientSourceError("no", retry_after=600.5))
    with pytest.raises(TransientSourceError):
        await with_retries(failing.attempt, POLICY, failing.waiting(), Pause())
    assert failing.slept == []


@given(st.integers(2, 20), st.floats(0, 600), st.floats(0, 1))
@settings(deadline=None)
def test_a_wait_is_within_its_bounds_and_never_earlier_than_asked(attempt, asked, chance):
    wait = wait_before(attempt, POLICY, asked, chance)
    assert wait >= asked
    assert min(60, 2 ** (attempt - 2)) <= wait <= max(asked, 60)


def test_chance_spreads_the_waits():
    assert wait_before(3, POLICY, 0.0, 0.0) == 2.0
    assert wait_before(3, POLICY, 0.0, 1.0) == 3.0


async def test_a_rest_that_is_asked_for_holds_up_the_others_and_a_backoff_does_not():
    pause, held = Pause(), []
    failing = Failing(TransientSourceError("no"), TransientSourceError("no", retry_after=9))

    async def sleep(_seconds):
        held.append(pause.on)

    await with_retries(failing.attempt, POLICY, Waiting(sleep=sleep), pause)
    assert (held, pause.on) == ([False, True], False)


@pytest.mark.parametrize(("retry_after", "attempts"), [(9, 5), (601, 1)])
async def test_a_rest_that_nobody_waits_for_ends_the_others_too(retry_after, attempts):
    pause = Pause()
    error = TransientSourceError("no", retry_after=retry_after)
    failing = Failing(*[error] * 9)
    with pytest.raises(TransientSourceError):
        await with_retries(failing.attempt, POLICY, failing.waiting(), pause)
    assert (failing.calls, pause.on) == (attempts, True)
    other = Failing()
    with pytest.raises(TransientSourceError):
        await with_retries(pause.over, POLICY, other.waiting(), pause)
    assert other.slept == []
