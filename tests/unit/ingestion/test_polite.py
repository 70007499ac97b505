"""A source that is read politely: what it learns is kept, and what is known is heeded before it is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from kasparro.core.errors import (
    CircuitOpen,
    DatabaseUnavailable,
    PermanentSourceError,
    SourceParked,
    TransientSourceError,
)
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.http.gate import Gate, Waiting, gate_of
from kasparro.ingestion.limits import LocalLimits
from kasparro.ingestion.polite import PoliteSource
from kasparro.schemas.ingest import Cursor, Page
from kasparro.schemas.limits import CIRCUIT_AFTER, FIRST_REST, Policy, Start

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    at = NOON

    def __call__(self) -> datetime:
        return self.at


class Pages:
    """So many pages, then an error if there is one."""

    def __init__(self, pages: int = 1, error: Exception | None = None) -> None:
        self.count = pages
        self.error = error
        self.probing: list[bool] = []
        self.gate: Gate | None = None

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        self.probing.append(self.gate is not None and self.gate.probing)
        for _ in range(self.count):
            yield Page([], None)
        if self.error is not None:
            raise self.error


def tried_enough() -> TransientSourceError:
    error = TransientSourceError("no")
    error.tried_enough = True
    return error


class Scene:
    def __init__(self, limits: LocalLimits | None = None) -> None:
        self.clock = Clock()
        self.limits = limits or LocalLimits(self.clock)

    async def read(self, source: Pages) -> int:
        """A run of its own: how many pages came."""
        gate = gate_of(CsvSource(name="x", path="a.csv"), self.limits, Waiting(now=self.clock))
        source.gate = gate
        async with aclosing(PoliteSource(source, gate).pages(None)) as pages:
            return len([page async for page in pages])

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(TransientSourceError):
                await self.read(Pages(0, tried_enough()))


async def test_failures_in_a_row_end_in_a_rest_and_then_a_probe_which_may_succeed():
    scene = Scene()
    await scene.fail(CIRCUIT_AFTER)
    untouched = Pages()
    with pytest.raises(CircuitOpen, match="2026-05-04 12:01:00 UTC: it failed 3 times in a row"):
        await scene.read(untouched)
    assert untouched.probing == []
    scene.clock.at += FIRST_REST
    back = Pages(2)
    assert await scene.read(back) == 2
    assert back.probing == [True]
    assert back.gate is not None
    assert not back.gate.probing, "once it has delivered, requests are tried again as declared"
    await scene.fail(CIRCUIT_AFTER - 1)
    assert await scene.read(Pages()) == 1


async def test_a_source_that_has_nothing_to_tell_is_back_too():
    scene = Scene()
    await scene.fail(CIRCUIT_AFTER - 1)
    assert await scene.read(Pages(0)) == 0
    await scene.fail(CIRCUIT_AFTER - 1)
    assert await scene.read(Pages()) == 1


@pytest.mark.parametrize("error", [PermanentSourceError("no"), TransientSourceError("not tried enough")])
async def test_what_is_no_outage_is_not_counted(error):
    scene = Scene()
    for _ in range(CIRCUIT_AFTER):
        with pytest.raises(type(error)):
            await scene.read(Pages(0, error))
    assert await scene.read(Pages()) == 1


async def test_a_rest_that_a_source_asked_for_somewhere_else_is_kept():
    """Files of the web have requests of their own, on a loop of their own."""
    scene = Scene()
    until = NOON + timedelta(hours=1)
    with pytest.raises(SourceParked):
        await scene.read(Pages(1, SourceParked("later", resume_at=until, asked=True)))
    untouched = Pages()
    with pytest.raises(SourceParked) as parked:
        await scene.read(untouched)
    assert (parked.value.resume_at, untouched.probing) == (until, [])
    scene.clock.at = until
    assert await scene.read(Pages()) == 1


async def test_a_failure_that_cannot_be_counted_is_still_the_failure():
    class Away(LocalLimits):
        async def failed(self, policy: Policy, code: str) -> Start:
            raise DatabaseUnavailable("gone")

    with capture_logs() as logs:
        await Scene(Away()).fail(1)
    assert [entry["event"] for entry in logs] == ["source.failure_not_counted"]
