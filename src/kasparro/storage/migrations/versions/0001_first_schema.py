"""The first schema: raw records, the dataset, runs, checkpoints, leases, quarantine; and the job queue's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(TABLES.read_text())
    driver.execute(SchemaManager.get_schema())
