"""Alembic's entry point; `kasparro.storage.schema` hands it a connection."""

from __future__ import annotations

from alembic import context

from kasparro.core import deletion_models, search_models  # noqa: F401  # their tables are among those of Base
from kasparro.core.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=False,
    include_name=lambda name, kind, _parents: (
        not (kind == "table" and str(name).startswith("procrastinate_"))
    ),
)

with context.begin_transaction():
    context.run_migrations()
