"""Which entity a record speaks of: what is linked and the records of a batch in, links and the sums they change out. No I/O.

The rules, documented in docs/entities.md:

- Keys that nobody holds: an entity of its own. Keys that all lead to one entity: that one.
- Keys that lead to different ones: nothing is guessed. It gets an entity of its own, a note of the conflict, and holds no key.
- A record whose keys are what they were stays where it is. One whose keys have changed is looked at as if it came anew; it
  keeps an entity that is its alone.
- What an operator decided stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kasparro.schemas.matching import DIGEST_SIZE, Matchable

Conflict = Mapping[str, Sequence[str]]
"""The entities to which each rule leads."""


class DecidedBy(StrEnum):
    """Who says that a record speaks of an entity."""

    RULE = "rule"
    OPERATOR = "operator"


FIRST: Final = "first"
"""Method of a record whose keys nobody held."""
NO_KEY: Final = "no_key"
"""Method of a record that has the fields of no rule."""
CONFLICT: Final = "conflict"
"""Method of a record whose keys lead to different entities."""

SURE: Final = 1.0
UNSURE: Final = 0.5


def confidence_of(rule: str) -> float:
    """How much an agreement counts: an address 0.95, three fields 0.9, two 0.8."""
    fields = rule.split("+")
    if "url" in fields:
        return 0.95
    return 0.9 if len(fields) > 2 else 0.8  # noqa: PLR2004  # as documented


@dataclass(frozen=True, slots=True)
class Link:
    """A record and its entity. `keys`: the digests of its match keys, one behind the other."""

    source_id: str
    entity: str
    method: str
    confidence: float
    keys: bytes
    decided_by: DecidedBy = DecidedBy.RULE
    conflict: Conflict | None = None

    def held(self) -> list[bytes]:
        """The keys by which others find its entity."""
        return [] if self.conflict is not None else digests(self.keys)


def digests(keys: bytes) -> list[bytes]:
    return [keys[start : start + DIGEST_SIZE] for start in range(0, len(keys), DIGEST_SIZE)]


@dataclass(slots=True)
class Known:
    """What is stored of the records of a batch: their links, which entities hold their keys, and how many records theirs have."""

    links: dict[str, Link] = field(default_factory=dict)
    holders: dict[bytes, dict[str, int]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What is to be written: links, and by how much keys and entities hold more or fewer records."""

    new: set[str] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    unlinked: list[str] = field(default_factory=list)
    keys: dict[tuple[bytes, str], int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    """Entities that nobody speaks of any more, since their last record went to another."""

    @property
    def conflicts(self) -> int:
        return sum(link.conflict is not None for link in self.links.values())


class Resolver:
    """Links the records of one batch, one after the other: each sees what those before it have changed."""

    def __init__(self, known: Known, new_entity: Callable[[], str]) -> None:
        self._known = known
        self._new_entity = new_entity
        self.changes = Changes()

    def link(self, records: Iterable[Matchable]) -> None:
        for record in records:
            before = self._known.links.get(record.source_id)
            keys = b"".join([key.digest for key in record.keys])
            if before is not None and before.keys == keys and before.conflict is None:
                continue
            after = self._decide(record, keys, before)
            if after != before:
                self._put(before, after)

    def unlink(self, source_ids: Iterable[str]) -> None:
        """Their records are gone."""
        for source_id in source_ids:
            if (before := self._known.links.pop(source_id, None)) is not None:
                self._count(before, -1)
                self.changes.unlinked.append(source_id)

    def _decide(self, record: Matchable, keys: bytes, before: Link | None) -> Link:
        if before is not None and before.decided_by is DecidedBy.OPERATOR:
            return Link(
                record.source_id, before.entity, before.method, before.confidence, keys, before.decided_by
            )
        led = {key.rule: found for key in record.keys if (found := self._holders(key.digest, before))}
        if not led:
            return Link(record.source_id, self._own(before), FIRST if keys else NO_KEY, SURE, keys)
        different = {entity for entities in led.values() for entity in entities}
        if len(different) > 1:
            return Link(record.source_id, self._own(before), CONFLICT, UNSURE, keys, conflict=led)
        rule = next(iter(led))
        return Link(record.source_id, different.pop(), rule, confidence_of(rule), keys)

    def _holders(self, key: bytes, before: Link | None) -> list[str]:
        """The entities that other records give this key."""
        counted = self._known.holders.get(key)
        if counted is None:
            return []
        mine = before.entity if before is not None and key in before.held() else None
        return sorted(entity for entity, records in counted.items() if records > (entity == mine))

    def _own(self, before: Link | None) -> str:
        if before is not None and self._known.sizes[before.entity] == 1:
            return before.entity
        entity = self._new_entity()
        self.changes.new.add(entity)
        return entity

    def _put(self, before: Link | None, after: Link) -> None:
        if before is not None:
            self._count(before, -1)
        self._count(after, 1)
        if before is not None and not self._known.sizes[before.entity]:
            self.changes.merged[before.entity] = after.entity
        self._known.links[after.source_id] = self.changes.links[after.source_id] = after

    def _count(self, link: Link, by: int) -> None:
        known, changes, entity = self._known, self.changes, link.entity
        known.sizes[entity] = known.sizes.get(entity, 0) + by
        changes.sizes[entity] = changes.sizes.get(entity, 0) + by
        for key in link.held():
            holders = known.holders.setdefault(key, {})
            holders[entity] = holders.get(entity, 0) + by
            changes.keys[key, entity] = changes.keys.get((key, entity), 0) + by
