"""The table of sources with `search`: the words of their records."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from kasparro.core.models import Base


class RecordSearch(Base):
    """The words of a record, of a source that declares `search`."""

    __tablename__ = "record_search"
    __table_args__ = (
        Index(None, "vector", postgresql_using="gin"),
        Index(None, "title", postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"}),
    )

    record_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey("normalized_data.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    language: Mapped[str] = mapped_column(String(20))
    vector: Mapped[str] = mapped_column(TSVECTOR)
    title: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(String(50))
