"""Whether a source may be asked at all: a source in, the same source out, which parks itself and is left alone when it is down.

What a run learns is kept in the `Limits` for the runs after it: the rest that was asked for, and failures in a row. After
`CIRCUIT_AFTER` of them nobody asks for a while; then one run probes the source with a single request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from kasparro.core.errors import CircuitOpen, SourceParked, StorageError, TransientSourceError
from kasparro.ingestion.http.gate import Gate
from kasparro.ingestion.ports import Source
from kasparro.schemas.ingest import Cursor, Page
from kasparro.schemas.limits import Because

log = structlog.get_logger(__name__)


class PoliteSource:
    """See `ingestion.ports.Source`. All of its requests pass the *gate*, where they are requests."""

    def __init__(self, source: Source, gate: Gate) -> None:
        self._source = source
        self._gate = gate

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        failures = await self._admitted()
        try:
            async with aclosing(self._source.pages(after)) as pages:
                async for page in pages:
                    if failures:
                        failures = await self._is_back()
                    yield page
            if failures:  # it had nothing to tell, and said so
                await self._is_back()
        except SourceParked as parked:
            await self._park(parked)
            raise
        except TransientSourceError as error:
            if error.tried_enough:
                await self._count(error)
            raise

    async def _is_back(self) -> int:
        self._gate.probing = False
        await self._gate.limits.succeeded(self._gate.policy)
        return 0

    async def _park(self, parked: SourceParked) -> None:
        """Keep the rest that was asked for, whoever was told: the runs after this one ask here."""
        if parked.asked:
            left = (parked.resume_at - self._gate.now()).total_seconds()
            parked.resume_at = await self._gate.limits.rest(self._gate.policy, max(0.0, left))
        log.info("source.parked", limit=self._gate.policy.name, until=parked.resume_at.isoformat())

    async def _admitted(self) -> int:
        """Raise `SourceParked` or `CircuitOpen` if it must not be asked; else how often it has failed in a row."""
        start = await self._gate.limits.begin(self._gate.policy)
        if start.blocked is not None and start.blocked.because is Because.CIRCUIT:
            raise CircuitOpen(
                f"not asked before {start.blocked.moment}: it failed {start.failures} times in a row ({start.failure})",
                hint="`kasparro ingest --force` asks now",
            )
        self._gate.park_if_long(start.blocked)
        self._gate.probing = start.probe
        return start.failures

    async def _count(self, error: TransientSourceError) -> None:
        """Count a failure; that it cannot be counted must not hide it."""
        try:
            start = await self._gate.limits.failed(self._gate.policy, error.code)
        except StorageError as storage:
            log.warning("source.failure_not_counted", limit=self._gate.policy.name, reason=str(storage))
            return
        if start.blocked is not None and start.blocked.because is Because.CIRCUIT:
            log.warning(
                "source.left_alone",
                limit=self._gate.policy.name,
                until=start.blocked.until.isoformat(),
                failures=start.failures,
                reason=start.failure,
            )
