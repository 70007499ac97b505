"""What a follower of the dataset is told, and how far it has got: frozen values.

A position is a place in each source. `storage.changes` moves it, `services.feed_cursor` makes an opaque text of it. The versions
of a source become visible in their order, because each commit moves the source's checkpoint under a lock. So whoever has seen
version 7 of a source has seen all that came before, whatever other sources are doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class ChangeOp(StrEnum):
    """`upsert`: the record is new or changed. `delete`: it is not, or no more, among what is followed. `reset`: forget what you
    have of this source. `gap`: of this source, some changes cannot be told.
    """

    UPSERT = "upsert"
    DELETE = "delete"
    RESET = "reset"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a source is now. A source that was forgotten and came again has another `epoch`."""

    epoch: int
    version: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far a source was followed: behind the record `id` of `version`, or without an id behind all of that version.

    While `walking`, the records as of `version` are gone through by id for the first time, and `id` is the last of them.
    """

    epoch: int
    version: int
    id: int | None = None
    walking: bool = False

    @classmethod
    def beginning(cls, head: Head) -> Place:
        return cls(head.epoch, head.version, 0, walking=True) if head.version else cls.end(head)

    @classmethod
    def end(cls, head: Head) -> Place:
        return cls(head.epoch, head.version)

    def reaches(self, head: Head) -> bool:
        return self == Place.end(head)


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """A place in each source that was met; one that was not begins at its beginning.

    `whole`: the follower has all records and wants to keep it so; else only what came after it began.
    """

    whole: bool = True
    places: Mapping[str, Place] = field(default_factory=dict)

    def moved(self, source: str, place: Place | None) -> FeedPosition:
        """*source* is at *place* now; without one it is forgotten."""
        others = {name: at for name, at in self.places.items() if name != source}
        return FeedPosition(self.whole, others if place is None else {**others, source: place})


@dataclass(frozen=True, slots=True)
class Change:
    """`record` is the record's latest state as the text of a JSON object, `place` the one behind this change."""

    op: ChangeOp
    source: str
    place: Place | None
    version: int | None = None
    id: int | None = None
    source_id: str | None = None
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """Changes between two positions. `more`: there are others behind `after` already."""

    before: FeedPosition
    changes: Sequence[Change]
    after: FeedPosition
    more: bool
