"""How far an incremental fetch has come: pages seen in, the cursor that resumes after them out. No I/O.

    {"mark": m}                                                              nothing under way
    {"mark": m, "fetch": {"begun", "start", "until", "step", "done", "open"}}   a fetch that is not finished

A fetch is cut into slices, or is one. `done` are finished ones, as ranges [first, behind the last, newest moment seen]; `open`
those begun, by number, with the cursor of their pages. The mark is the newest moment of what is complete, from before the fetch
was `begun`: what changes meanwhile may stand on a page that was read already, and must come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from kasparro.schemas.ingest import Cursor


class Open(msgspec.Struct, frozen=True):
    """A slice that has been begun: where its pages go on, and the newest moment seen in it."""

    after: dict[str, Any]
    seen: int | None = None


Done = tuple[int, int, int | None]


class Unfinished(msgspec.Struct, frozen=True):
    """A fetch as a cursor holds it."""

    begun: int | None = None
    start: int | None = None
    until: int | None = None
    step: int | None = None
    done: list[Done] = []
    open: dict[str, Open] = {}


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole cursor."""

    mark: int | None = None
    fetch: Unfinished | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a fetch: from `since` (None: from the beginning) up to `until` (None: all there is)."""

    number: int
    since: int | None
    until: int | None


def read_cursor(cursor: Cursor) -> Stored | None:
    """None where it is no cursor of this kind."""
    try:
        return msgspec.convert(dict(cursor), Stored)
    except msgspec.ValidationError:
        return None


class Fetch:
    """One fetch, from the mark it begins with to the one it ends with. *ascending*: each page moves the mark."""

    def __init__(self, mark: int | None, plan: Unfinished, *, ascending: bool = False) -> None:
        self.mark = self.before = mark
        self._plan = plan
        self._done = list(plan.done)
        self._open = {int(number): slice_ for number, slice_ in plan.open.items()}
        self._newest = newest(*(seen for *_, seen in self._done), *(one.seen for one in self._open.values()))
        self._ascending = ascending

    @property
    def count(self) -> int:
        """How many slices it has."""
        start, until, step = self._plan.start, self._plan.until, self._plan.step
        if step is None or start is None or until is None:
            return 1
        return max(0, -(-(until - start) // step))

    @property
    def complete(self) -> bool:
        return not self.count or [done[:2] for done in self._done] == [(0, self.count)]

    @property
    def went_back(self) -> bool:
        """All of it is older than the mark it began with."""
        return self.before is not None and self._newest is not None and self._newest < self.before

    def left(self) -> Iterator[Slice]:
        """The slices that are not finished, the earliest first."""
        finished = [range(first, behind) for first, behind, _ in self._done]
        return (
            self._slice(number)
            for number in range(self.count)
            if not any(number in numbers for numbers in finished)
        )

    def after(self, number: int) -> Cursor | None:
        """Where the pages of a slice go on."""
        return self._open[number].after if number in self._open else None

    def see(self, number: int, after: Cursor | None, moments: list[int]) -> bool:
        """A page of slice *number* holds *moments* and *after* resumes behind it. Says whether they came in order."""
        before = self._open[number].seen if number in self._open else None
        in_order = moments == sorted(moments) and (before is None or not moments or before <= moments[0])
        self._newest = newest(self._newest, *moments)
        if self._ascending and not in_order:
            self._ascending, before = False, None
        seen = newest(before, *(moment for moment in moments if self._ascending or self._is_before(moment)))
        if after is None:
            self._open.pop(number, None)
            self._finish(number, seen)
        else:
            self._open[number] = Open(dict(after), seen)
            if self._ascending:
                self.mark = newest(self.mark, seen)
        return in_order

    def cursor(self) -> Cursor:
        """What resumes after the pages seen so far; of a sorted source a fetch from the mark does."""
        if self.complete or self._ascending:
            return {"mark": self.mark}
        opened = {str(number): msgspec.to_builtins(one) for number, one in sorted(self._open.items())}
        fetch = msgspec.structs.asdict(self._plan) | {"done": list(map(list, self._done)), "open": opened}
        return {"mark": self.mark, "fetch": fetch}

    def _is_before(self, moment: int) -> bool:
        return self._plan.begun is None or moment <= self._plan.begun

    def _slice(self, number: int) -> Slice:
        start, until, step = self._plan.start, self._plan.until, self._plan.step
        if step is None or start is None or until is None:
            return Slice(number, start, until)
        return Slice(number, start + number * step, min(start + (number + 1) * step, until))

    def _finish(self, number: int, seen: int | None) -> None:
        ranges: list[Done] = []
        for first, behind, newest_seen in sorted(
            [*self._done, (number, number + 1, seen)], key=lambda done: done[:2]
        ):
            if ranges and ranges[-1][1] == first:
                begin, _, before = ranges.pop()
                ranges.append((begin, behind, newest(before, newest_seen)))
            else:
                ranges.append((first, behind, newest_seen))
        self._done = ranges
        if ranges[0][0] == 0:
            self.mark = newest(self.mark, ranges[0][2])


def newest(*moments: int | None) -> int | None:
    return max((moment for moment in moments if moment is not None), default=None)
