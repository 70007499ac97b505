"""The limits of sources, kept by this process alone: for commands that have no database, and as the meaning of the limits.

`turn`, `look` and what else `ingestion.ports.Limits` asks for; `storage.limits` does the same in SQL, and a test holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kasparro.core import clock
from kasparro.core.durations import CalendarPeriod
from kasparro.schemas.limits import (
    CIRCUIT_AFTER,
    LONGEST_PAUSE,
    PROBE,
    Because,
    Blocked,
    Policy,
    Start,
    circuit_rest,
)

LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a limit. *next_at* is when the next request is due if all came evenly (GCRA's arrival time)."""

    next_at: datetime = LONG_AGO
    paused_until: datetime = LONG_AGO
    period_start: datetime = LONG_AGO
    period_used: int = 0
    failures: int = 0
    failure: str | None = None
    open_until: datetime = LONG_AGO


class LocalLimits:
    """See `ingestion.ports.Limits`."""

    def __init__(self, now: Callable[[], datetime] = clock.now) -> None:
        self._now = now
        self._states: dict[str, State] = {}

    async def turn(self, policy: Policy) -> Blocked | None:
        state, blocked = take(self._state(policy), policy, self._now())
        self._states[policy.name] = state
        return blocked

    async def look(self, policy: Policy) -> Start:
        return outlook(self._state(policy), policy, self._now())

    async def begin(self, policy: Policy) -> Start:
        now, state = self._now(), self._state(policy)
        start = outlook(state, policy, now)
        if start.probe:
            self._states[policy.name] = replace(state, open_until=now + PROBE)
        return start

    async def rest(self, policy: Policy, seconds: float) -> datetime:
        state = self._state(policy)
        until = max(
            state.paused_until, self._now() + timedelta(seconds=min(seconds, LONGEST_PAUSE.total_seconds()))
        )
        self._states[policy.name] = replace(state, paused_until=until)
        return until

    async def succeeded(self, policy: Policy) -> None:
        self._states[policy.name] = replace(
            self._state(policy), failures=0, failure=None, open_until=LONG_AGO
        )

    async def failed(self, policy: Policy, code: str) -> Start:
        state = failed(self._state(policy), code, self._now())
        self._states[policy.name] = state
        return outlook(state, policy, self._now())

    async def forget(self, policy: Policy) -> None:
        await self.succeeded(policy)
        self._states[policy.name] = replace(self._state(policy), paused_until=LONG_AGO)

    def _state(self, policy: Policy) -> State:
        return self._states.get(policy.name, State())


def take(state: State, policy: Policy, now: datetime) -> tuple[State, Blocked | None]:
    """Count a request at *now*, if it may be sent then."""
    state = replace(state, next_at=possible(state, policy, now))
    blocked = blocked_at(state, policy, now)
    if blocked is not None:
        return state, blocked
    if policy.interval:
        state = replace(state, next_at=max(state.next_at, now) + policy.interval)
    if policy.budget is not None:
        start, used, _ = period(state, policy, now)
        state = replace(state, period_start=start, period_used=used + 1)
    return state, None


def blocked_at(state: State, policy: Policy, now: datetime) -> Blocked | None:
    """Why and until when nothing may be asked at *now*; of several reasons the one that lasts longest."""
    _, used, end = period(state, policy, now)
    spent = policy.budget is not None and used >= policy.budget
    reasons = [
        (due_at(state, policy, now), Because.RATE),
        (state.paused_until, Because.REST),
        (end if spent else LONG_AGO, Because.BUDGET),
    ]
    until, because = max(reasons, key=lambda reason: reason[0])
    return None if until <= now else Blocked((until - now).total_seconds(), until, because)


def outlook(state: State, policy: Policy, now: datetime) -> Start:
    """Whether a run that begins at *now* may ask."""
    known = Start(failures=state.failures, failure=state.failure)
    if state.open_until > now:
        rest = state.open_until
        return replace(known, blocked=Blocked((rest - now).total_seconds(), rest, Because.CIRCUIT))
    blocked = blocked_at(state, policy, now)
    return replace(known, blocked=blocked, probe=blocked is None and state.failures >= CIRCUIT_AFTER)


def possible(state: State, policy: Policy, now: datetime) -> datetime:
    """`next_at`, as late as it can be: it is later when the clock was set back, or another rate declared."""
    return min(state.next_at, now + policy.interval + policy.tolerance)


def due_at(state: State, policy: Policy, now: datetime) -> datetime:
    """When the rate allows the next request."""
    due = possible(state, policy, now)
    return due - policy.tolerance if policy.interval and due - LONG_AGO > policy.tolerance else LONG_AGO


def period(state: State, policy: Policy, now: datetime) -> tuple[datetime, int, datetime]:
    """The budget's period at *now*: its start, the requests counted in it, its end."""
    if isinstance(policy.period, CalendarPeriod):
        start, end = calendar(policy.period, now)
        counts = state.period_start >= start
        return max(start, state.period_start), state.period_used if counts else 0, end
    if state.period_start + policy.period > now:
        return state.period_start, state.period_used, state.period_start + policy.period
    return now, 0, now + policy.period


def calendar(unit: CalendarPeriod, now: datetime) -> tuple[datetime, datetime]:
    """The hour, day or month of *now*, UTC."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    match unit:
        case CalendarPeriod.HOUR:
            return hour, hour + timedelta(hours=1)
        case CalendarPeriod.DAY:
            return hour.replace(hour=0), hour.replace(hour=0) + timedelta(days=1)
        case CalendarPeriod.MONTH:
            first = hour.replace(day=1, hour=0)
            return first, (first + timedelta(days=31)).replace(day=1)


def failed(state: State, code: str, now: datetime) -> State:
    """One more failure; one for another reason counts anew."""
    failures = state.failures + 1 if state.failure == code else 1
    rest = circuit_rest(failures)
    return replace(
        state, failures=failures, failure=code, open_until=LONG_AGO if rest is None else now + rest
    )
