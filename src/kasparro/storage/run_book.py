"""Runs opened and closed by hand: the public pair `create_run` / `update_run` of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kasparro.core.database import Database
from kasparro.core.errors import NotFound
from kasparro.schemas.ingest import RunCounters, RunId, RunStatus, SourceName
from kasparro.storage import ledger


class RunBook:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, source: SourceName, run_id: RunId, details: Mapping[str, Any]) -> None:
        async with self._database.driver_transaction() as connection:
            await ledger.open_run(connection, source, run_id, details)

    async def update(
        self, run_id: RunId, added: RunCounters, *, end: bool, error: str | None
    ) -> tuple[RunStatus, RunCounters]:
        """Add to the ledger and, if *end*, close the run. Raises `NotFound`."""
        async with self._database.driver_transaction() as connection:
            source = await ledger.source_of(connection, run_id)
            if source is None:
                raise NotFound(f"there is no run {run_id}")
            counted = await ledger.count(connection, source, run_id, added)
            if end:
                return await ledger.end_run(connection, source, run_id, error)
            return RunStatus.IN_PROGRESS, counted
