"""The tables of sources with `snapshot`: what a fetch has shown, and what left the dataset."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from kasparro.core.models import Base


class SnapshotSeen(Base):
    """A record that the fetch under way of a `snapshot` source has shown."""

    __tablename__ = "snapshot_seen"

    source: Mapped[str] = mapped_column(String(50), primary_key=True)
    external_id: Mapped[str] = mapped_column(String(255), primary_key=True)


class Tombstone(Base):
    """A record that left the dataset, for those who follow it."""

    __tablename__ = "tombstone"

    source: Mapped[str] = mapped_column(String(50), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    record_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[str] = mapped_column(String(255))
