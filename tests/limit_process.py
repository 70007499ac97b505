"""Asks for as many turns as it is told, as fast as they are given: `python limit_process.py URL REQUESTS PER TURNS`."""

from __future__ import annotations

import asyncio
import sys

from kasparro.core.database import Database
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.http.gate import Waiting, gate_of
from kasparro.storage.limits import PostgresLimits


async def main(url: str, requests: str, per: str, turns: int) -> None:
    declared = ApiSource.model_validate(
        {"name": "x", "url": "http://x.example", "rate_limit": {"requests": requests, "per": per}}
    )
    database = Database(url)
    gate = gate_of(declared, PostgresLimits(database), Waiting())
    await asyncio.gather(*(gate.passed() for _ in range(turns)))
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
