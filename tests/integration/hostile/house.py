"""What is run against a hostile upstream: a catalog as a user writes it in, the tables of a real database out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest_kit import one, rows
from kasparro.core.config import Settings
from kasparro.core.database import Database
from kasparro.core.etl_config import Catalog, load_catalog
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunReport
from kasparro.services.ingestion import DataIngestionService

QUICK = "retry: {attempts: 3, base: 1ms, max: 2ms}"


@dataclass(slots=True)
class House:
    """One database and one place for catalogs."""

    db: Database
    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    batch: int = 100

    def catalog(self, text: str) -> Catalog:
        file = self.path / "kasparro.yaml"
        file.write_text(text)
        return load_catalog(file, self.environment)

    def service(self, text: str) -> DataIngestionService:
        settings = Settings(_env_file=None, etl_batch_size=self.batch)
        return ingestion_service(self.catalog(text), settings, self.db)

    async def ingest(self, text: str, name: str = "things", **asked: Any) -> RunReport:
        return await self.service(text).ingest(name, **asked)

    async def raw(self, name: str = "things") -> dict[str, str]:
        """The texts as they were received, by the key of the record."""
        return dict(
            await rows(
                self.db,
                "SELECT external_id, raw_data::text FROM raw_data_api WHERE source = %(s)s AND deleted_at IS NULL",
                {"s": name},
            )
        )

    async def ids(self, name: str = "things") -> list[str]:
        return sorted(await self.raw(name), key=lambda key: (len(key), key))

    async def dataset(self, name: str = "things") -> dict[str, dict[str, Any]]:
        return dict(
            await rows(
                self.db,
                "SELECT source_id, data FROM normalized_data WHERE source = %(s)s",
                {"s": name},
            )
        )

    async def rejects(self) -> dict[str, int]:
        return dict(
            await rows(
                self.db,
                "SELECT reason, count(*)::int FROM quarantine WHERE resolved_at IS NULL GROUP BY 1",
            )
        )

    async def notices(self) -> dict[str, Any]:
        found = await one(self.db, "SELECT metadata->'notices' FROM etl_run ORDER BY id DESC LIMIT 1")
        return {notice["code"]: notice for notice in found or []}

    async def cursor(self, name: str = "things") -> Any:
        return await one(self.db, "SELECT cursor FROM etl_checkpoint WHERE source = %(s)s", {"s": name})

    async def dump(self) -> str:
        """All of the database as text."""
        tables = await rows(
            self.db, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        texts = []
        for (table,) in tables:
            found = await rows(self.db, f'SELECT t::text FROM "{table}" AS t')  # its own tables
            texts += [f"{table}: {row[0]}" for row in found]
        return "\n".join(texts)


def source(url: str, keys: str = "", name: str = "things") -> str:
    """A catalog of one source: its address, and what else is declared, as YAML."""
    lines = "\n".join(f"    {line}" for line in keys.strip().splitlines())
    return f"sources:\n  {name}:\n    type: api\n    url: {url}\n    {QUICK}\n{lines}\n"


def things(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"thing {number}", **more} for number in numbers]


def keys(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def log_texts(records: list[logging.LogRecord], captured: list[Mapping[str, Any]]) -> str:
    """All that was logged, tracebacks included."""
    format_ = logging.Formatter().format
    return "\n".join(
        [*(format_(record) for record in records), *(json.dumps(e, default=repr) for e in captured)]
    )
