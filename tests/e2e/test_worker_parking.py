"""A worker as it runs: it parks a source, and wakes it by itself."""

from __future__ import annotations

import pytest
from aiohttp import web

from e2e.test_worker import eventually, runtime_of, working
from integration.api_server import json_answer, serve
from kasparro.schemas.data import RunSummary
from kasparro.schemas.ingest import RunStatus, Trigger

pytestmark = pytest.mark.anyio

CATALOG = """
sources:
  things:
    type: api
    url: {url}
    key: id
    pagination: page
    rate_limit: {{concurrency: 1, park_after: 0s}}
"""


async def test_a_worker_parks_a_source_and_goes_on_with_it_without_being_asked(database_url, tmp_path):
    asked: list[int] = []

    async def api(request: web.Request) -> web.Response:
        page = int(request.query["page"])
        asked.append(page)
        if len(asked) == 2:
            return json_answer({}, status=429, headers={"Retry-After": "1"})
        return json_answer([{"id": page}] if page <= 3 else [])

    async with serve(api) as server:
        catalog = tmp_path / "kasparro.yaml"
        catalog.write_text(CATALOG.format(url=server.url))
        async with runtime_of(database_url, catalog, 1) as runtime, working(runtime):
            first = await runtime.jobs.request_run("things", Trigger.API)

            async def both() -> list[RunSummary] | None:
                runs = await runtime.history.runs(5)
                done = len(runs) > 1 and all(run.end_time for run in runs)
                return runs if done and "resumes" in runs[0].metadata else None

            resumed, parked = await eventually(both)
    assert (parked.run_id, parked.status, parked.records_inserted) == (first, RunStatus.PARTIAL, 1)
    assert (resumed.status, resumed.records_inserted) == (RunStatus.SUCCESS, 2)
    assert (resumed.metadata["trigger"], resumed.metadata["resumes"]) == ("resume", first)
    assert asked == [1, 2, 2, 3, 4]
