"""How a source's records differ from its accepted shape: what passes between ingestion, storage, the API and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field


class DriftKind(StrEnum):
    """In what a field differs; documented in docs/drift.md."""

    ADDED = "added"
    MISSING = "missing"
    RENAMED = "renamed"
    TYPE_CHANGED = "type_changed"
    NULL_RATE = "null_rate"


class Decision(StrEnum):
    """What became of a difference. `quarantined` and `frozen` wait for an operator; the others are part of the accepted shape."""

    EVOLVED = "evolved"
    QUARANTINED = "quarantined"
    FROZEN = "frozen"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Drift:
    """One field that differs. `before` and `after` say in what, in few words: they are also what makes two of them the same.

    `example` is a record that shows it: `place`, and the `value` where there is one.
    """

    field: str
    kind: DriftKind
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    confidence: float
    example: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShapeStep:
    """What a batch adds to the drift ledger, with what became of it, and the accepted shape after it (`None`: as it was)."""

    drifts: Sequence[Drift] = ()
    decision: Decision = Decision.EVOLVED
    shape: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self.drifts) or self.shape is not None


NO_DRIFT: Final = ShapeStep()


def sentence(  # noqa: PLR0911  # one for each
    field: str,
    kind: DriftKind,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    confidence: float,
) -> str:
    """A difference in words."""
    was, now = before or {}, after or {}
    match kind:
        case DriftKind.RENAMED:
            return f"{field} seems to be called {now['field']} now (confidence {confidence:.2f})"
        case DriftKind.ADDED if "fields" in now:
            return f"{field}: there are so many names that they are no longer followed"
        case DriftKind.ADDED:
            return f"{field} is new ({_types(now)})"
        case DriftKind.MISSING if now["presence"] == "never":
            return f"{field} is gone (it was {_types(was)})"
        case DriftKind.MISSING:
            return f"{field} is missing in some records (it was in all)"
        case DriftKind.TYPE_CHANGED:
            return f"{field} is {_types(now)} in some records (it was {_types(was)})"
        case DriftKind.NULL_RATE:
            return f"{field} has no value in {now['nulls']:.0%} of the records (before in {was['nulls']:.0%})"


def _types(side: Mapping[str, Any]) -> str:
    return " or ".join(side["types"]) or "null"


class DriftView(BaseModel):
    """A difference as the ledger has it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    source: str
    field_path: str = Field(
        description="The field, as it was called before; of a tap, behind its stream and a colon"
    )
    kind: DriftKind
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    confidence: float = Field(description="From 0 to 1: how sure it is that this is what happened")
    first_seen_run: str
    example: dict[str, Any] | None = Field(
        description="Where a record stands that shows it, and its value there"
    )
    decision: Decision
    detected_at: datetime
    decided_at: datetime | None = Field(description="When an operator accepted it")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What accepting came to: what was accepted, and how many differences still wait."""

    drifts: Sequence[DriftView] = field(default_factory=list)
    waiting: int = 0
