"""One attempt of a run, watched: each batch compared with the accepted shape, and what becomes of the differences.

`prepare` shows it every batch in order. What it returns is committed with that batch. Until a fetch has been complete the shape
is learned; after that the declared policy holds. A source that was under `evolve` and is put under `quarantine` or `freeze` has a
shape made of samples: it has one complete run under `evolve` more, in which every record is looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from kasparro.core.etl_config import CsvSource, DriftPolicy, SingerSource, SourceDeclaration
from kasparro.ingestion.drift import observing, shape
from kasparro.ingestion.drift.accepting import evolve
from kasparro.ingestion.drift.cells import kinds_of_cells
from kasparro.ingestion.drift.comparing import Difference, RunSoFar, compare, learn
from kasparro.ingestion.drift.departing import departure
from kasparro.ingestion.drift.observing import Names, Observation
from kasparro.ingestion.drift.telling import notice
from kasparro.ingestion.values import Unfit
from kasparro.schemas.drift import Decision, Drift, DriftKind, ShapeStep
from kasparro.schemas.ingest import Keyed, Notice, RawRecord

DECISIONS: Final = {
    DriftPolicy.EVOLVE: Decision.EVOLVED,
    DriftPolicy.QUARANTINE: Decision.QUARANTINED,
    DriftPolicy.FREEZE: Decision.FROZEN,
}


EVIDENCE_OF_CELLS: Final = 5


@dataclass(frozen=True, slots=True)
class Watched:
    """What is to be committed with a batch, and to be told. With `frozen` the batch itself is not to be."""

    step: ShapeStep = field(default_factory=ShapeStep)
    notices: Sequence[Notice] = ()

    @property
    def frozen(self) -> bool:
        return self.step.decision is Decision.FROZEN and bool(self.step.drifts)


class DriftWatch:
    """Used by one thread at a time."""

    def __init__(self, declaration: SourceDeclaration, stored: bytes | None = None) -> None:
        self._declaration = declaration
        self._cells = isinstance(declaration, CsvSource)
        self._streams = isinstance(declaration, SingerSource)
        self._nulls = (
            frozenset(declaration.null_values) if isinstance(declaration, CsvSource) else frozenset()
        )
        evidence = EVIDENCE_OF_CELLS if self._cells else 1
        self._shape = shape.Shape(evidence) if stored is None else shape.load(stored)
        self._written = None if stored is None else shape.dump(self._shape)
        if self._shape.evidence != evidence:  # of when the source was of another type
            self._shape = shape.Shape(evidence)
        self._thorough = self._cells or declaration.drift is not DriftPolicy.EVOLVE
        learned = self._shape.complete and (self._shape.thorough or not self._thorough)
        self._policy = declaration.drift if learned else DriftPolicy.EVOLVE
        self._run = RunSoFar()
        self._told: dict[tuple[str, DriftKind, str], Drift] = {}

    def resumed(self, stored: bytes | None) -> DriftWatch:
        """For another attempt, from the shape as it is *stored*."""
        return DriftWatch(self._declaration, stored)

    @property
    def source(self) -> str:
        return self._declaration.name

    @property
    def rejects(self) -> bool:
        """Whether records that depart from the shape are to be rejected."""
        return self._policy is DriftPolicy.QUARANTINE

    def departure(self, keyed: Keyed) -> Unfit | None:
        root = observing.root_of(keyed.raw, streams=self._streams)
        return departure(
            self._shape, root, keyed.raw.payload, cells=self._cells, source=self._declaration.name
        )

    def look(self, records: Sequence[RawRecord], met: Iterable[Names], *, complete: bool) -> Watched:
        """Compare a batch. *met* are the names of its JSON records; *complete*: it is the last one of a fetch."""
        if not records and not complete:
            return Watched()
        seen = self._observed(records, met)
        if not self._shape.complete:
            learn(self._shape, seen)
            drifts: list[Drift] = []
        else:
            drifts = self._compared(records, seen)
        if complete and self._shape.nodes and self._policy is DriftPolicy.EVOLVE:
            self._shape.complete, self._shape.thorough = True, self._thorough
        step = ShapeStep(drifts, DECISIONS[self._policy], self._written_anew())
        return Watched(step, [notice(list(self._told.values()), step.decision)] if drifts else ())

    def _observed(self, records: Sequence[RawRecord], met: Iterable[Names]) -> Observation:
        if self._cells:
            return observing.of_rows(records, self._nulls)
        return observing.of_json(records, met, streams=self._streams, thorough=self._thorough)

    def _compared(self, records: Sequence[RawRecord], seen: Observation) -> list[Drift]:
        self._run.add(seen)
        found = []
        for difference in compare(self._shape, seen, self._run):
            key = (_path(difference), difference.kind, (difference.after or {}).get("presence", ""))
            if self._policy is DriftPolicy.EVOLVE:
                evolve(self._shape, difference, seen)
            if key not in self._told:
                self._told[key] = self._drift(difference, records)
                found.append(self._told[key])
        return found

    def _drift(self, difference: Difference, records: Sequence[RawRecord]) -> Drift:
        return Drift(
            _path(difference),
            difference.kind,
            difference.before,
            difference.after,
            difference.confidence,
            self._example(difference, records),
        )

    def _example(self, difference: Difference, records: Sequence[RawRecord]) -> dict[str, Any]:
        """Where the first record stands that shows it, and its value there."""
        found = observing.witness(
            records,
            difference.node,
            partial(self._shows, difference),
            cells=self._cells,
            streams=self._streams,
        )
        if found is None:
            return {}
        record, value = found
        item = by_name(value).get(difference.to or difference.name)
        return {"place": str(record.origin)} | ({} if item is None else {"value": observing.shown(item)})

    def _shows(self, difference: Difference, value: Mapping[str, Any]) -> bool:
        fields = by_name(value)
        name = difference.to or difference.name
        match difference.kind:
            case DriftKind.MISSING:
                return name not in fields
            case DriftKind.NULL_RATE:
                return name in fields and self._kind(fields[name]) == "null"
            case DriftKind.TYPE_CHANGED:
                return name in fields and self._kind(fields[name]) in (difference.after or {})["types"]
            case _:
                return name in fields

    def _kind(self, value: Any) -> str:
        if not self._cells:
            return observing.kind_of(value)
        return "null" if value in self._nulls else next(iter(kinds_of_cells([value])))

    def _written_anew(self) -> bytes | None:
        """The shape, if it is another one than is stored."""
        now = shape.dump(self._shape)
        if now == self._written or not self._shape.nodes:
            return None
        self._written = now
        return now


def by_name(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object by their names as they are kept."""
    return {shape.clean(name): item for name, item in value.items()}


def _path(difference: Difference) -> str:
    if difference.name == shape.OPEN and difference.kind is DriftKind.ADDED:
        return shape.all_in(difference.node)
    return shape.join(difference.node, difference.name)
