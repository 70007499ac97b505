"""What is told of a run while it goes on."""

from __future__ import annotations

import pytest

from ingest_kit import job
from kasparro.ingestion.runner import observed
from kasparro.schemas.ingest import ApiOrigin, Page, RawRecord

pytestmark = pytest.mark.anyio


async def test_records_that_are_known_to_be_unchanged_are_told_as_found_like_those_that_were_read():
    told, no_notices = [], []

    async def pages():
        yield Page([], {"offset": 90}, unchanged=9, size=90)
        yield Page([RawRecord(b"{}", ApiOrigin("http://test", 1, 0))], None, size=10, last=True)

    _ = [page async for page in observed(job(None, observe=told.append), pages(), no_notices.append)]

    assert [event.records for event in told] == [9, 1]
