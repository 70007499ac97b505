"""What every test against the hostile upstream may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest_kit import writer
from integration.hostile.house import House


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with writer(database_url) as db:
        yield House(db, tmp_path)
