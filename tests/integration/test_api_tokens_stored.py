"""Neither what a token is asked for with nor the token itself gets into the database, by whatever the API does with it."""

from __future__ import annotations

import pytest
from aiohttp import web

from ingest_kit import one, rows, writer
from integration.api_server import declare, json_answer, serve
from integration.token_server import Provider
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-of-the-client"


async def test_no_table_holds_a_token_or_what_it_was_asked_for_with(database_url, tmp_path):
    provider = Provider(more=lambda _number: {"refresh_token": "refresh-token-number-2"})

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await provider.token(request)
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        page = int(request.query.get("page", "1"))
        if page == 3:
            return json_answer({"error": f"{shown} and {SECRET} and {request.url}"}, status=400)
        link = f"/items?page={page + 1}&access_token={shown}&again={shown}"
        return json_answer({"items": [{"id": page}], "next": link})

    async with serve(handler) as api, writer(database_url) as database:
        auth = {
            "type": "oauth2_refresh_token",
            "token_url": f"{api.url}/token",
            "client_id": "kasparro",
            "client_secret": SECRET,
            "refresh_token": "refresh-token-number-1",
        }
        source = declare(f"{api.url}/items", auth=auth, pagination={"type": "next_url", "path": "next"})
        catalog = Catalog(sources={"things": source}, path=tmp_path / "kasparro.yaml")
        service = ingestion_service(catalog, Settings(_env_file=None, etl_batch_size=1), database)
        report = await service.ingest("things")

        assert (report.status, report.counters.inserted) == (RunStatus.FAILED, 2)
        assert "*** and ***" in await one(database, "SELECT error_message FROM etl_run")
        tables = await rows(
            database, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        )
        assert len(tables) > 10
        for (table,) in tables:
            stored = str(await rows(database, f'SELECT t::text FROM "{table}" t'))
            for secret in (SECRET, "token-number-1", "refresh-token-number"):
                assert secret not in stored, table
