"""The limits of sources, kept in PostgreSQL for all processes and for the time after a restart; by the database's clock.

One row a source, or a group of sources. `turn` is one statement, GCRA in an `UPDATE`: it locks the row, looks at the clock, and
counts the request if it may be sent now. What it says is what `ingestion.limits` says. While the database is away nothing is
granted: it is waited for as the rest of a run waits for it, and what is repeated then is lost at most, never counted too little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection

from kasparro.core.database import Database
from kasparro.core.durations import CalendarPeriod
from kasparro.core.etl_config import SourceDeclaration, SourceName
from kasparro.schemas.limits import (
    CIRCUIT_AFTER,
    LONGEST_PAUSE,
    PROBE,
    Because,
    Blocked,
    Policy,
    Standing,
    Start,
    circuit_rest,
)
from kasparro.storage.patience import Patience

Answer = TypeVar("Answer")
Connection = AsyncConnection[Any]

PREPARE: Final = "INSERT INTO source_limit (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING"

KNOWN: Final = "SELECT name FROM source_limit WHERE name = ANY(%(names)s)"

_ROW: Final = "SELECT * FROM source_limit WHERE name = %(name)s"

_JUDGED: Final = """
seen AS MATERIALIZED (
    SELECT *, coalesce(%(now)s, clock_timestamp()) AS now,
           %(interval)s::interval AS distance, %(tolerance)s::interval AS tolerance
      FROM held),
timed AS MATERIALIZED (
    SELECT *, CASE WHEN next_at IS NOT NULL THEN least(next_at, now + distance + tolerance) END AS possible,
           CASE WHEN %(unit)s::text IS NOT NULL THEN greatest(date_trunc(%(unit)s, now, 'UTC'), period_start)
                WHEN period_start + %(length)s::interval > now THEN period_start
                ELSE now END AS started
      FROM seen),
counted AS MATERIALIZED (
    SELECT *, CASE WHEN period_start >= started THEN period_used ELSE 0 END AS used,
           CASE WHEN %(unit)s::text IS NOT NULL THEN date_trunc(%(unit)s, now, 'UTC') + ('1 ' || %(unit)s)::interval
                ELSE started + %(length)s::interval END AS ends
      FROM timed),
judged AS MATERIALIZED (
    SELECT *, CASE WHEN distance > '0' THEN possible - tolerance END AS due,
           CASE WHEN used >= %(budget)s THEN ends END AS filled
      FROM counted),
verdict AS MATERIALIZED (SELECT *, greatest(due, paused_until, filled) AS free_at FROM judged)
"""
"""What is known of a limit (`held`), seen at one moment: the mirror of `ingestion.limits.blocked_at`."""

_ANSWER: Final = """
SELECT now, free_at, CASE free_at WHEN due THEN 'rate' WHEN paused_until THEN 'rest' ELSE 'budget' END,
       used, failures, failure, open_until
  FROM verdict
"""

TURN: Final = f"""
WITH held AS MATERIALIZED ({_ROW} FOR UPDATE), {_JUDGED},
taken AS (
    UPDATE source_limit AS stored
       SET next_at = CASE WHEN distance = '0' THEN stored.next_at ELSE greatest(possible, now) + distance END,
           period_start = CASE WHEN %(budget)s::bigint IS NULL THEN stored.period_start ELSE started END,
           period_used = CASE WHEN %(budget)s::bigint IS NULL THEN stored.period_used ELSE used + 1 END
      FROM verdict WHERE stored.name = verdict.name AND (free_at IS NULL OR free_at <= now)),
corrected AS (
    UPDATE source_limit AS stored SET next_at = possible
      FROM verdict WHERE stored.name = verdict.name AND free_at > now AND stored.next_at > possible)
{_ANSWER}
"""

LOOK: Final = f"WITH held AS MATERIALIZED ({_ROW}), {_JUDGED} {_ANSWER}"

PROBING: Final = f"""
WITH held AS MATERIALIZED ({_ROW} FOR UPDATE), {_JUDGED},
probing AS (
    UPDATE source_limit AS stored SET open_until = now + %(probe)s
      FROM verdict WHERE stored.name = verdict.name AND (free_at IS NULL OR free_at <= now)
       AND verdict.failures >= %(circuit_after)s AND (verdict.open_until IS NULL OR verdict.open_until <= now))
{_ANSWER}
"""

REST: Final = """
INSERT INTO source_limit AS stored (name, paused_until)
VALUES (%(name)s, coalesce(%(now)s, clock_timestamp()) + %(rest)s)
ON CONFLICT (name) DO UPDATE SET paused_until = greatest(stored.paused_until, excluded.paused_until)
RETURNING paused_until
"""

FAILED: Final = """
INSERT INTO source_limit AS stored (name, failures, failure) VALUES (%(name)s, 1, %(code)s)
ON CONFLICT (name) DO UPDATE
SET failures = CASE WHEN stored.failure = %(code)s THEN stored.failures + 1 ELSE 1 END, failure = %(code)s
RETURNING failures
"""

OPEN: Final = """
UPDATE source_limit SET open_until = coalesce(%(now)s, clock_timestamp()) + %(rest)s::interval WHERE name = %(name)s
"""

WELL: Final = """
UPDATE source_limit SET failures = 0, failure = NULL, open_until = NULL WHERE name = %(name)s AND failures > 0
"""

FORGET: Final = """
UPDATE source_limit SET failures = 0, failure = NULL, open_until = NULL, paused_until = NULL WHERE name = %(name)s
"""


class PostgresLimits:
    """See `ingestion.ports.Limits`. *now* replaces the database's clock; tests give one."""

    def __init__(self, database: Database, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._now = now

    async def turn(self, policy: Policy) -> Blocked | None:
        async def take(connection: Connection) -> Blocked | None:
            values = self._values(policy)
            row = await _row(connection, TURN, values)
            if row is None:
                await connection.execute(PREPARE, values)
                row = await _row(connection, TURN, values)
            return _blocked(row)

        return await self._done(policy, take)

    async def look(self, policy: Policy) -> Start:
        async def look(connection: Connection) -> Start:
            return _start(await _row(connection, LOOK, self._values(policy)))

        return await self._done(policy, look)

    async def begin(self, policy: Policy) -> Start:
        start = await self.look(policy)
        if not start.probe:
            return start

        async def try_it(connection: Connection) -> Start:
            values = {**self._values(policy), "probe": PROBE, "circuit_after": CIRCUIT_AFTER}
            return _start(await _row(connection, PROBING, values))

        return await self._done(policy, try_it)

    async def rest(self, policy: Policy, seconds: float) -> datetime:
        async def rest(connection: Connection) -> datetime:
            asked = timedelta(seconds=min(seconds, LONGEST_PAUSE.total_seconds()))
            [until] = await _row(connection, REST, {**self._values(policy), "rest": asked})
            moment: datetime = until
            return moment

        return await self._done(policy, rest)

    async def succeeded(self, policy: Policy) -> None:
        await self._done(policy, lambda connection: connection.execute(WELL, self._values(policy)))

    async def failed(self, policy: Policy, code: str) -> Start:
        async def count(connection: Connection) -> Start:
            values = {**self._values(policy), "code": code}
            [failures] = await _row(connection, FAILED, values)
            await connection.execute(OPEN, {**values, "rest": circuit_rest(failures)})
            return _start(await _row(connection, LOOK, values))

        return await self._done(policy, count)

    async def forget(self, policy: Policy) -> None:
        await self._done(policy, lambda connection: connection.execute(FORGET, self._values(policy)))

    async def standings(self, policies: Sequence[Policy]) -> list[Standing]:
        """How the limits of *policies* stand, in one snapshot; nothing is changed or waited for."""
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(KNOWN, {"names": [policy.name for policy in policies]})
            known = {name for (name,) in await cursor.fetchall()}
            rows = {
                policy: await _row(connection, LOOK, self._values(policy))
                for policy in policies
                if policy.name in known
            }
        return [_standing(policy, rows.get(policy)) for policy in policies]

    async def of(self, sources: Mapping[str, SourceDeclaration]) -> dict[str, Standing]:
        """How the limits of *sources* stand, by source."""
        found = await self.standings([Policy.of(declared) for declared in sources.values()])
        return dict(zip(sources, found, strict=True))

    async def _done(self, policy: Policy, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        async def once() -> Answer:
            async with self._database.driver_transaction() as connection:
                return await work(connection)

        return await Patience(SourceName(policy.name), asyncio.Event()).with_(once)

    def _values(self, policy: Policy) -> dict[str, Any]:
        return {
            "name": policy.name,
            "now": self._now() if self._now else None,
            "interval": policy.interval,
            "tolerance": policy.tolerance,
            "budget": policy.budget,
            "unit": policy.period.value if isinstance(policy.period, CalendarPeriod) else None,
            "length": None if isinstance(policy.period, CalendarPeriod) else policy.period,
        }


async def _row(connection: Connection, statement: str, values: dict[str, Any]) -> Any:
    return await (await connection.execute(statement, values)).fetchone()


def _blocked(row: Any) -> Blocked | None:
    now, free_at, because = row[:3]
    if free_at is None or free_at <= now:
        return None
    return Blocked((free_at - now).total_seconds(), free_at, Because(because))


def _start(row: Any) -> Start:
    """No row: nobody has ever asked."""
    if row is None:
        return Start()
    now, (failures, failure, open_until) = row[0], row[4:]
    if open_until is not None and open_until > now:
        blocked = Blocked((open_until - now).total_seconds(), open_until, Because.CIRCUIT)
        return Start(blocked, failures=failures, failure=failure)
    found = _blocked(row)
    return Start(found, found is None and failures >= CIRCUIT_AFTER, failures, failure)


def _standing(policy: Policy, row: Any) -> Standing:
    used = None if policy.budget is None else 0 if row is None else row[3]
    start = _start(row)
    return Standing(policy.name, start.blocked, used, start.failures, start.failure)
