"""Search documents know the source of their record, and have their vector with them.

What asks for words of a source need not look at its records, and a vector of up to a page is ranked where it is found. Nothing is
rewritten here. Documents without a source are asked through their record, and made again at the next run.
"""

from __future__ import annotations

from typing import Any

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(
        "ALTER TABLE record_search ADD COLUMN source VARCHAR(50), ALTER COLUMN vector SET STORAGE MAIN"
    )
    driver.execute("ALTER TABLE etl_checkpoint ADD COLUMN search_form SMALLINT")
