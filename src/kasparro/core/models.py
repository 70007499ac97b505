"""The tables, as SQLAlchemy sees them. Alembic's migrations make them; a test holds the two against each other.

What the columns mean to a user stands in docs/architecture.md, "Data model".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

NOW = text("now()")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB}


def big_serial(table: str) -> Mapped[int]:
    """A BIGSERIAL primary key: the sequence is owned by the column."""
    return mapped_column(
        BigInteger,
        Sequence(f"{table}_id_seq"),
        primary_key=True,
        server_default=text(f"nextval('{table}_id_seq')"),
    )


class RawRecord:
    """The latest version of a record exactly as its source sent it."""

    __tablename__: str

    @declared_attr
    def id(cls) -> Mapped[int]:  # noqa: N805  # declared_attr works on the class
        return big_serial(cls.__tablename__)

    source: Mapped[str] = mapped_column(String(50))
    external_id: Mapped[str] = mapped_column(String(255))
    raw_data: Mapped[Any] = mapped_column(JSON)
    payload_hash: Mapped[bytes] = mapped_column(LargeBinary)
    run_id: Mapped[str] = mapped_column(String(80))
    ingested_at: Mapped[datetime] = mapped_column(server_default=NOW)
    processed: Mapped[bool] = mapped_column(Boolean)
    deleted_at: Mapped[datetime | None]

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:  # noqa: N805  # declared_attr works on the class
        return (
            UniqueConstraint("source", "external_id"),
            Index(None, "source", "id", postgresql_where=text("NOT processed")),
        )


class RawDataApi(RawRecord, Base):
    __tablename__ = "raw_data_api"

    url: Mapped[str] = mapped_column(Text)
    page: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(Integer)


class RawDataCsv(RawRecord, Base):
    __tablename__ = "raw_data_csv"

    file: Mapped[str] = mapped_column(Text)
    byte_start: Mapped[int] = mapped_column(BigInteger)
    byte_end: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[int] = mapped_column(BigInteger)


class RawDataStream(RawRecord, Base):
    __tablename__ = "raw_data_stream"

    stream: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(BigInteger)


class NormalizedData(Base):
    """The unified dataset: one row a record, the whole DataRecord as JSON."""

    __tablename__ = "normalized_data"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        Index(None, "source", "id"),
        Index(None, "created_at"),
        Index(
            None,
            "source",
            "version",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 16, "autosummarize": "on"},
        ),
    )

    id: Mapped[int] = big_serial("normalized_data")
    source: Mapped[str] = mapped_column(String(50))
    source_id: Mapped[str] = mapped_column(String(255))
    data: Mapped[dict[str, Any]]
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class EtlCheckpoint(Base):
    """Where a source stands: what to resume after, its dataset version and its exact counts."""

    __tablename__ = "etl_checkpoint"
    __table_args__ = (
        CheckConstraint("status IN ('idle', 'in_progress', 'complete')", name="status"),
        CheckConstraint("record_count >= 0", name="record_count"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(String(50), unique=True)
    last_processed_id: Mapped[str | None] = mapped_column(String(255))
    last_processed_timestamp: Mapped[datetime | None]
    checkpoint_timestamp: Mapped[datetime] = mapped_column(server_default=NOW)
    status: Mapped[str] = mapped_column(String(20), server_default="idle")
    cursor: Mapped[dict[str, Any] | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    record_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    changed_at: Mapped[datetime | None]
    search_language: Mapped[str | None] = mapped_column(String(20))
    search_form: Mapped[int | None] = mapped_column(SmallInteger)


class SourceLease(Base):
    """Who may write for a source. The token only grows; (token, batch_seq) names the last committed batch."""

    __tablename__ = "source_lease"

    source: Mapped[str] = mapped_column(String(50), primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    batch_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    holder: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(String(80))
    expires_at: Mapped[datetime]


class EtlRun(Base):
    """One run of one source. The ledger must balance: every processed record has exactly one outcome."""

    __tablename__ = "etl_run"
    __table_args__ = (
        CheckConstraint(
            "records_processed = records_inserted + records_updated + records_unchanged"
            " + records_failed + records_duplicates",
            name="ledger",
        ),
        CheckConstraint(
            "least(records_inserted, records_updated, records_unchanged, records_failed, records_duplicates) >= 0",
            name="counters",
        ),
        CheckConstraint("records_deleted >= 0", name="deleted"),
        CheckConstraint("status IN ('in_progress', 'success', 'partial', 'failed')", name="status"),
        CheckConstraint("(status = 'in_progress') = (end_time IS NULL)", name="ended"),
        CheckConstraint("status <> 'failed' OR error_message IS NOT NULL", name="explained"),
        Index(None, "source", "id"),
        Index("etl_run_in_progress_idx", "source", postgresql_where=text("status = 'in_progress'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(80), unique=True)
    source: Mapped[str] = mapped_column(String(50))
    records_processed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_inserted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_unchanged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    start_time: Mapped[datetime] = mapped_column(server_default=NOW)
    end_time: Mapped[datetime | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(20), server_default="in_progress")
    error_message: Mapped[str | None] = mapped_column(Text)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    heartbeat: Mapped[datetime | None]
    records_deleted: Mapped[int] = mapped_column(BigInteger, server_default="0")


class EtlTotals(Base):
    """All-time sums of the ended and running ledgers, kept by each commit so that no answer has to add them up."""

    __tablename__ = "etl_totals"

    source: Mapped[str] = mapped_column(String(50), primary_key=True)
    records_processed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_inserted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_unchanged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_success: Mapped[datetime | None]
    last_failure: Mapped[datetime | None]
    records_deleted: Mapped[int] = mapped_column(BigInteger, server_default="0")


class SourceLimit(Base):
    """How often a source may be asked, and what it said about that: one row a source, or a group of them."""

    __tablename__ = "source_limit"
    __table_args__ = (
        CheckConstraint("least(period_used, failures) >= 0", name="counters"),
        CheckConstraint("(failures > 0) = (failure IS NOT NULL)", name="explained"),
    )

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    next_at: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    period_start: Mapped[datetime | None]
    period_used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    failure: Mapped[str | None] = mapped_column(String(40))
    open_until: Mapped[datetime | None]


class Quarantine(Base):
    """A record that was received and does not fit, with the reason; kept until it does."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("source", "fingerprint"),
        Index("quarantine_open_idx", "source", "id", postgresql_where=text("resolved_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(String(50))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    external_id: Mapped[str | None] = mapped_column(Text)
    raw_data: Mapped[Any] = mapped_column(JSON)
    place: Mapped[str] = mapped_column(Text)
    field: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(40))
    message: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(String(80))
    first_seen: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen: Mapped[datetime] = mapped_column(server_default=NOW)
    attempts: Mapped[int] = mapped_column(Integer, server_default="1")
    resolved_at: Mapped[datetime | None]


class SchemaDrift(Base):
    """A difference between what a source used to send and what it sends."""

    __tablename__ = "schema_drift"
    __table_args__ = (
        CheckConstraint("kind IN ('added', 'missing', 'renamed', 'type_changed', 'null_rate')", name="kind"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("decision IN ('evolved', 'quarantined', 'frozen', 'accepted')", name="decision"),
        CheckConstraint("(decision = 'accepted') = (decided_at IS NOT NULL)", name="decided"),
        Index(None, "source", "id"),
        UniqueConstraint("source", "fingerprint"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(String(50))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    field_path: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(20))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    confidence: Mapped[float] = mapped_column(server_default="1")
    first_seen_run: Mapped[str] = mapped_column(String(80))
    example: Mapped[Any] = mapped_column(JSONB, nullable=True)
    decision: Mapped[str] = mapped_column(String(20), server_default="evolved")
    detected_at: Mapped[datetime] = mapped_column(server_default=NOW)
    decided_at: Mapped[datetime | None]


class SourceShape(Base):
    """What the records of a source look like, as far as that is accepted; made by its first complete fetch."""

    __tablename__ = "source_shape"

    source: Mapped[str] = mapped_column(String(50), primary_key=True)
    shape: Mapped[dict[str, Any]]
    run_id: Mapped[str] = mapped_column(String(80))
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Entity(Base):
    """A thing that one or more sources speak of. The id (UUIDv7) is ours and never changes."""

    __tablename__ = "entity"
    __table_args__ = (CheckConstraint("merged_into IS NULL OR records = 0", name="records"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    records: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    merged_into: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("entity.id"))


class EntityLink(Base):
    """This record speaks of that entity, and why we think so."""

    __tablename__ = "entity_link"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("decided_by IN ('rule', 'operator')", name="decided_by"),
        Index("entity_link_entity_idx", "entity_id", "id"),
        Index("entity_link_conflict_idx", "entity_id", postgresql_where=text("conflict IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    entity_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("entity.id"))
    source: Mapped[str] = mapped_column(String(50))
    source_id: Mapped[str] = mapped_column(String(255))
    method: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float]
    decided_by: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(server_default=NOW)
    keys: Mapped[bytes] = mapped_column(LargeBinary)
    conflict: Mapped[dict[str, Any] | None]


class EntityKey(Base):
    """So many records of that entity have this match key. Records in conflict do not count."""

    __tablename__ = "entity_key"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    entity_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    records: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """A key of the API. The secret itself is nowhere: its SHA-256 is."""

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("scope IN ('read', 'admin')", name="scope"),
        CheckConstraint("rate_per_minute > 0", name="rate_per_minute"),
        CheckConstraint("octet_length(digest) = 32", name="digest"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(20), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(String(100))
    scope: Mapped[str] = mapped_column(String(20))
    rate_per_minute: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


COUNTERS = ("processed", "inserted", "updated", "unchanged", "failed", "duplicates")
"""The counters of a run, in the order of the ledger; the columns are `records_<counter>`."""
