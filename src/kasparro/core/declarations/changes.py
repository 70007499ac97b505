"""What becomes of what is new: `drift`, `entity`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kasparro.core.declarations.base import Declaration
from kasparro.core.declarations.mapping import FieldName


class DriftPolicy(StrEnum):
    """What happens when the shape of a source's records changes."""

    EVOLVE = "evolve"
    QUARANTINE = "quarantine"
    FREEZE = "freeze"


class EntityRules(Declaration):
    """Which records of different sources speak of the same thing."""

    match: tuple[Annotated[tuple[FieldName, ...], Field(min_length=1)], ...] = Field(
        min_length=1, description="Rules tried in order; a rule is a list of fields that must all agree."
    )
