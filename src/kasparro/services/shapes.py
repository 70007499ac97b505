"""The shape of records: which fields they have and of which types. Samples in, how they differ out. No I/O.

A shape is made of samples, so what is said here is said of samples: each change carries in how many records of either it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

DEEPEST: Final = 5
MOST_PATHS: Final = 2_000
"""Fields that are followed: records whose keys are data (ids, dates) would have as many as there are records."""

EXPECTED: Final = 5
"""A field that is sometimes left out is missed only where it should have come so often."""


@dataclass(slots=True)
class _Field:
    records: int = 0
    types: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Change:
    """How a field differs; types are those of its values, null left out; shares are of the records of each sample."""

    stream: str
    field: str
    kind: Literal["added", "missing", "type_changed"]
    before: tuple[str, ...]
    after: tuple[str, ...]
    share_before: float
    share_after: float


class Shape:
    """The fields of a sample of records, by the stream they belong to; most sources have one, without a name."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self._fields: dict[tuple[str, str], _Field] = {}

    @property
    def size(self) -> int:
        return self.records.total()

    def add(self, stream: str, payload: bytes) -> None:
        """Take a record into account; one that is no object has no fields."""
        try:
            record = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict):
            return
        self.records[stream] += 1
        met: dict[str, set[str]] = {}
        for path, kind in _leaves(record, "", 1):
            met.setdefault(path, set()).add(kind)
        for path, kinds in met.items():
            self._note(stream, path, kinds - {"null"})

    def _note(self, stream: str, path: str, kinds: Iterable[str]) -> None:
        found = self._fields.get((stream, path))
        if found is None:
            if len(self._fields) >= MOST_PATHS:
                return
            found = self._fields[stream, path] = _Field()
        found.records += 1
        found.types.update(kinds)

    def fields(self) -> Mapping[tuple[str, str], _Field]:
        return self._fields

    def share(self, stream: str, path: str) -> float:
        found = self._fields.get((stream, path))
        return found.records / self.records[stream] if found else 0.0

    def types(self, stream: str, path: str) -> tuple[str, ...]:
        found = self._fields.get((stream, path))
        return tuple(sorted(found.types)) if found else ()


def changes(before: Shape, after: Shape) -> list[Change]:
    """How *after* differs from *before*, for the streams of which there is something in both."""
    found = [
        change
        for stream, path in sorted({*before.fields(), *after.fields()})
        if before.records[stream]
        and after.records[stream]
        and (change := _change(before, after, stream, path)) is not None
    ]
    gone = {(one.stream, one.field) for one in found}
    return [one for one in found if (one.stream, _parent(one.field)) not in gone]


def _change(before: Shape, after: Shape, stream: str, path: str) -> Change | None:
    was, now = before.share(stream, path), after.share(stream, path)
    types_were, types_are = before.types(stream, path), after.types(stream, path)
    kind: Literal["added", "missing", "type_changed"]
    if not was:
        kind = "added"
    elif not now:
        if was < 1 and was * after.records[stream] < EXPECTED:
            return None
        kind = "missing"
    elif types_were and set(types_are) - set(types_were):
        kind = "type_changed"
    else:
        return None
    return Change(stream, path, kind, types_were, types_are, was, now)


def _parent(path: str) -> str:
    return path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]


def _leaves(value: Any, path: str, level: int) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            if path:
                yield path, "object"
            if level <= DEEPEST:
                for key, item in value.items():
                    yield from _leaves(item, f"{path}.{key}" if path else key, level + 1)
        case list():
            yield path, "array"
            for item in value:
                yield from _leaves(item, f"{path}[]", level + 1)
        case None:
            yield path, "null"
        case bool():
            yield path, "boolean"
        case int() | float():
            yield path, "number"
        case _:
            yield path, "text"
