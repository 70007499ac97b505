"""What is sent and what must come of it: rows in the order of the source, and the state after any number of them.

The first generation is loaded before anything is broken, so that the second one finds records to insert, to change, to leave
alone, to repeat and to reject, in every batch.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

GOOD_TIME, BAD_TIME = "2024-05-01T00:00:00Z", "some day in May"


@dataclass(frozen=True)
class Row:
    """One record as the source sends it. Without an id, or with a time that is none, it must become a reject."""

    id: int | None
    version: int
    bad_time: bool = False

    @property
    def name(self) -> str:
        return f"record {self.id} version {self.version}"

    @property
    def fits(self) -> bool:
        return self.id is not None and not self.bad_time

    @property
    def when(self) -> str:
        return BAD_TIME if self.bad_time else GOOD_TIME

    def as_json(self) -> dict[str, object]:
        identity = {} if self.id is None else {"id": self.id}
        return identity | {"name": self.name, "when": self.when, "version": self.version}


@dataclass(frozen=True)
class State:
    """What is stored: titles by id, the raw names by id, the ids (or names) that are open in quarantine."""

    dataset: Mapping[str, str]
    raw: Mapping[str, str]
    rejected: frozenset[str]


@dataclass(frozen=True)
class Oracle:
    rows: Sequence[Row]
    before: Sequence[Row] = ()

    @cached_property
    def base(self) -> State:
        return after(self.before, State({}, {}, frozenset()))

    @cached_property
    def final(self) -> State:
        return self.at(1, len(self.rows))

    def at(self, reading: int, count: int) -> State:
        """The state when *count* rows of the *reading*-th time through the source are committed."""
        return after(self.rows[:count], self.base if reading == 1 else self.final)

    @cached_property
    def flipping(self) -> set[str]:
        """Ids that come in several versions: who reads the source again writes them again."""
        versions: dict[int | None, set[int]] = {}
        for row in self.rows:
            versions.setdefault(row.id, set()).add(row.version)
        return {str(key) for key, seen in versions.items() if len(seen) > 1}

    @property
    def inserted(self) -> int:
        return len(self.final.dataset) - len(self.base.dataset)

    @property
    def failed(self) -> int:
        return sum(not row.fits for row in self.rows)

    @property
    def first_nameless(self) -> int | None:
        """Where the first row stands that has no id, when all rows before had one: as JSON it lacks the field."""
        if not self.before:
            return None
        return next((at for at, row in enumerate(self.rows) if row.id is None), None)

    def sightings(self, count: int) -> dict[str, int]:
        """How often each reject is among the first *count* rows."""
        seen: dict[str, int] = {}
        for row in self.rows[:count]:
            if not row.fits:
                seen[reject_key(row)] = seen.get(reject_key(row), 0) + 1
        return seen

    def pages(self, size: int, *, generation: int = 2) -> list[list[dict[str, object]]]:
        rows = self.rows if generation == 2 else self.before
        records = [row.as_json() for row in rows]
        return [records[i : i + size] for i in range(0, len(records), size)]

    def csv(self, *, generation: int = 2) -> str:
        rows = self.rows if generation == 2 else self.before
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "name", "when", "version"])
        writer.writerows(["" if row.id is None else row.id, row.name, row.when, row.version] for row in rows)
        return text.getvalue()


def reject_key(row: Row) -> str:
    return row.name if row.id is None else str(row.id)


def after(rows: Sequence[Row], base: State) -> State:
    dataset, raw, rejected = dict(base.dataset), dict(base.raw), set(base.rejected)
    for row in rows:
        if row.id is not None:
            if version_of(raw.get(str(row.id))) > row.version:
                continue
            raw[str(row.id)] = row.name
        if row.fits:
            dataset[str(row.id)] = row.name
            rejected.discard(reject_key(row))
        else:
            rejected.add(reject_key(row))
    return State(dataset, raw, frozenset(rejected))


def version_of(name: str | None) -> int:
    return 0 if name is None else int(name.rsplit(" ", 1)[1])


def small(seed: int = 1) -> Oracle:
    """Enough for six or seven batches of ten, each with something of everything."""
    chance = random.Random(seed)
    before = [Row(n, 1, bad_time=n in {5, 6}) for n in range(24)]
    rows = [Row(n, 1 if n % 2 else 2, bad_time=n in {6, 17}) for n in range(24)]
    rows += [Row(n, 1, bad_time=n in {31, 40}) for n in range(24, 52)]
    chance.shuffle(rows)
    rows.insert(10, Row(None, 1))
    rows.insert(44, Row(None, 2))
    repeated = next(index for index, row in enumerate(rows) if index > 20 and row.fits and row.version == 1)
    rows.insert(repeated + 1, rows[repeated])  # twice in one batch, or in two neighbours
    first = next(row for row in rows[:6] if row.fits)
    rows.insert(len(rows) - 3, Row(first.id, 7))  # later, and newer
    rows.insert(len(rows) - 1, Row(first.id, 3))  # later still, and older
    return Oracle(tuple(rows), tuple(before))


def large(count: int, seed: int) -> Oracle:
    """*count* rows: a hundredth repeated, a hundredth repeated in a newer version, a hundredth to be rejected."""
    chance = random.Random(seed)
    rows = [Row(n, 1, bad_time=chance.random() < 0.01) for n in range(count)]
    for index in range(count // 100, count, 100):
        good = next(row for row in rows[index - 1 :: -1] if row.fits)
        rows[index] = good if chance.random() < 0.5 else Row(good.id, good.version + 1)
    return Oracle(tuple(rows))


def text_of(page: Sequence[dict[str, object]]) -> bytes:
    return json.dumps(page).encode()
