"""What becomes of what is new: `drift`, `entity`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator

from kasparro.core.declarations.base import Declaration, Refusal, refuse_all
from kasparro.core.declarations.mapping import FieldName

TELLING: Final = ("title", "author", "published_at", "description", "content")
"""Fields two of which, taken together, tell things apart. A category never does."""


class DriftPolicy(StrEnum):
    """What happens when the shape of a source's records changes."""

    EVOLVE = "evolve"
    QUARANTINE = "quarantine"
    FREEZE = "freeze"


MatchRule = Annotated[tuple[FieldName, ...], Field(min_length=1)]


class EntityRules(Declaration):
    """Which records of different sources speak of the same thing."""

    match: tuple[MatchRule, ...] = Field(
        min_length=1,
        max_length=8,
        description="Rules tried in order; a rule is a list of fields that must all agree.",
    )

    @field_validator("match")
    @classmethod
    def _strong(cls, match: tuple[MatchRule, ...]) -> tuple[MatchRule, ...]:
        refuse_all([fault for at, rule in enumerate(match) if (fault := _weakness(at, rule, match[:at]))])
        return match


def _weakness(at: int, rule: MatchRule, before: tuple[MatchRule, ...]) -> Refusal | None:
    if len(set(rule)) < len(rule):
        return Refusal("names a field twice", (at,))
    if any(set(rule) == set(other) for other in before):
        return Refusal("is there twice: the order of fields does not matter", (at,))
    if "url" in rule or len(set(rule) & set(TELLING)) > 1:
        return None
    return Refusal(
        "is too weak: different things may well agree in that",
        (at,),
        f"A rule needs url, or two of {', '.join(TELLING)}",
    )
