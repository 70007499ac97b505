"""An index that finds what changed after a dataset version."""

from __future__ import annotations

from typing import Any

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = """
CREATE INDEX normalized_data_source_version_idx ON normalized_data USING brin (source, version)
WITH (pages_per_range = 16, autosummarize = on)
"""


def upgrade() -> None:
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(INDEX)
