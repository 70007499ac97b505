"""The tables of sources with `snapshot`: what a fetch has shown, and what left the dataset."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kasparro.core.models import Base


def _of_source() -> ForeignKey:
    """What is kept of a source that is forgotten goes with it."""
    return ForeignKey("etl_checkpoint.source", ondelete="CASCADE")


class SnapshotSeen(Base):
    """Keys that the fetch under way of a `snapshot` source has shown: those of a batch, and later those that sort together."""

    __tablename__ = "snapshot_seen"

    source: Mapped[str] = mapped_column(String(50), _of_source(), primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    ids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    sample: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")


class Tombstone(Base):
    """A record that left the dataset, for those who follow it."""

    __tablename__ = "tombstone"

    source: Mapped[str] = mapped_column(String(50), _of_source(), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    record_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[str] = mapped_column(String(255))
