"""Entities as the API and the command line show them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class EntityRecord(BaseModel):
    """A record that speaks of an entity, and why we think so."""

    model_config = ConfigDict(from_attributes=True)

    source: str
    source_id: str
    record_id: int | None = Field(description="The dataset's own id of the record")
    title: str | None
    url: str | None
    method: str = Field(
        description="The fields in which it agrees with others, or: first, no_key, conflict, merge, split"
    )
    confidence: float = Field(description="From 0 to 1: how much that counts")
    decided_by: str = Field(description="`rule`, or `operator`, whose decisions no rule overrules")
    decided_at: datetime
    conflict: dict[str, list[str]] | None = Field(
        description="The different entities to which its rules lead, where it was therefore given one of its own"
    )


class Entity(BaseModel):
    """A thing that records speak of."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Never changes; after a merge the other's id leads here, too")
    created_at: datetime
    record_count: int = Field(description="How many records speak of it")


class EntityView(Entity):
    """A thing, and records that speak of it."""

    records: list[EntityRecord] = Field(description="Some of them, those that were linked first")
