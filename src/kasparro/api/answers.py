"""The shapes of answers that are the API's own; those that others make too stand in `schemas.data`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from kasparro.schemas.data import CheckpointView, Health, RunRequestAccepted, RunSummary, SourceView
from kasparro.schemas.drift import DriftView
from kasparro.schemas.entities import EntityView


class ServiceIndex(BaseModel):
    """Where things are."""

    name: str
    version: str
    links: dict[str, str]


class Liveness(BaseModel):
    """The process answers; nothing is said about the database."""

    status: Health = Health.HEALTHY
    version: str
    time: datetime


class RunList(BaseModel):
    """Runs, the latest first."""

    request_id: str
    limit: int
    offset: int
    has_more: bool = Field(description="There are older runs")
    runs: list[RunSummary]


class CheckpointList(BaseModel):
    checkpoints: list[CheckpointView]


class DriftList(BaseModel):
    """Differences, the latest first."""

    request_id: str
    limit: int
    offset: int
    has_more: bool = Field(description="There are older ones")
    drifts: list[DriftView]


class EntityList(BaseModel):
    """Entities in the order in which they were made."""

    request_id: str
    limit: int
    next_after: str | None = Field(
        description="What to give as `after` for the next ones; null: there are none"
    )
    entities: list[EntityView]


class SourceList(BaseModel):
    sources: list[SourceView]


class RunsRequested(RunRequestAccepted):
    """What was queued, and which sources were left out because they are queued or running already."""

    already_running: list[str]
