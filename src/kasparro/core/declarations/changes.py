"""What counts as new, and what becomes of it: `incremental`, `drift`, `entity`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kasparro.core.declarations.base import Declaration
from kasparro.core.declarations.expressions import Text, check_field_path
from kasparro.core.declarations.mapping import FieldName
from kasparro.core.durations import Duration

FieldPath = Annotated[Text, AfterValidator(check_field_path)]


class DriftPolicy(StrEnum):
    """What happens when the shape of a source's records changes."""

    EVOLVE = "evolve"
    QUARANTINE = "quarantine"
    FREEZE = "freeze"


class Incremental(Declaration):
    """Ask only for what changed since the last run; `field` is also the record's version."""

    field: FieldPath = Field(description="The field that says when a record changed.")
    param: Text | None = Field(None, description="The query parameter that carries the time to start from.")
    initial: Text | None = Field(None, description="Where the first run starts; left out, at the beginning.")
    lookback: Duration = Field(
        timedelta(0), description="How far before the last record to start again, such as `1h`."
    )
    format: Literal["iso8601", "epoch_s", "epoch_ms", "date"] = Field(
        "iso8601", description="How the time is written in the query parameter."
    )


class EntityRules(Declaration):
    """Which records of different sources speak of the same thing."""

    match: tuple[Annotated[tuple[FieldName, ...], Field(min_length=1)], ...] = Field(
        min_length=1, description="Rules tried in order; a rule is a list of fields that must all agree."
    )
