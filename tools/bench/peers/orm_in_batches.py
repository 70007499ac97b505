"""The design of many small ETL services: an ORM object a row, looked up before it is added, a commit every hundred rows.

`orm_in_batches.py URL FILE KEY[,KEY]`
"""

from __future__ import annotations

import csv
import sys

from sqlalchemy import BigInteger, String, UniqueConstraint, create_engine, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

BATCH = 100


class Base(DeclarativeBase):
    pass


class Loaded(Base):
    __tablename__ = "loaded"
    __table_args__ = (UniqueConstraint("source", "external_id"), {"schema": "peer"})

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source: Mapped[str] = mapped_column(String(50))
    external_id: Mapped[str] = mapped_column(String(255))
    raw_data: Mapped[dict[str, str]] = mapped_column(JSONB)


def main(url: str, file: str, key: list[str]) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS peer"))
    Base.metadata.create_all(engine)
    with Session(engine) as session, open(file, newline="") as lines:  # noqa: PTH123  # a script as its author would write it
        for number, row in enumerate(csv.DictReader(lines), start=1):
            store(session, "/".join(row[name] for name in key), row)
            if number % BATCH == 0:
                session.commit()
        session.commit()


def store(session: Session, external_id: str, row: dict[str, str]) -> None:
    known = session.scalar(select(Loaded).where(Loaded.source == "peer", Loaded.external_id == external_id))
    if known is None:
        session.add(Loaded(source="peer", external_id=external_id, raw_data=row))
    else:
        known.raw_data = row


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
