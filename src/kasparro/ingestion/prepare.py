"""Pages in, the batch to commit out: identify, tell new from changed from unchanged, normalise, count. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.identity import Identify, identifier
from kasparro.ingestion.normalise import Normalise, normaliser, reject
from kasparro.ingestion.values import Unfit
from kasparro.schemas.ingest import Batch, Keyed, Known, Landed, Reject, RejectReason, RunCounters, Stored


@dataclass(frozen=True, slots=True)
class Recipe:
    """A source's declaration, compiled."""

    identify: Identify
    normalise: Normalise

    @classmethod
    def of(cls, declaration: SourceDeclaration) -> Recipe:
        return cls(identifier(declaration), normaliser(declaration))

    def without(self, refused: Mapping[str, str]) -> Self:
        """The same, rejecting the records the database has *refused*, for its reasons."""

        def normalise(keyed: Sequence[Keyed]) -> list[Landed | Reject]:
            fitting = iter(self.normalise([one for one in keyed if one.external_id not in refused]))
            return [
                reject(one, Unfit(RejectReason.REFUSED_BY_DATABASE, refused[one.external_id]))
                if one.external_id in refused
                else next(fitting)
                for one in keyed
            ]

        return replace(self, normalise=normalise)


@dataclass(frozen=True, slots=True)
class Identified:
    """A haul with identities: one record per key (the later one won), rejects, and how many lost to a later one."""

    records: Sequence[Keyed]
    keys: frozenset[str]
    rejects: Sequence[Reject]
    duplicates: int


def identify(recipe: Recipe, haul: Haul) -> Identified:
    outcomes = recipe.identify(haul.records)
    keyed = [one for one in outcomes if isinstance(one, Keyed)]
    rejects = [one for one in outcomes if isinstance(one, Reject)]
    keys = frozenset([one.external_id for one in keyed])
    records = keyed if len(keys) == len(keyed) else _latest(keyed)
    return Identified(records, keys, [*haul.rejects, *rejects], len(keyed) - len(records))


def _latest(keyed: Sequence[Keyed]) -> list[Keyed]:
    latest: dict[str, Keyed] = {}
    for one in reversed(keyed):
        latest.setdefault(one.external_id, one)
    return list(reversed(latest.values()))


def prepare(recipe: Recipe, haul: Haul, identified: Identified, stored: Stored) -> Batch:
    """Decide for every record what becomes of it, once; the ledger is the sum of these decisions."""
    new, inserted, rejects = _new(
        recipe, [identified.records[at] for at, known in stored.items() if known is None]
    )
    tally = _Tally([*identified.rejects, *rejects], inserted)
    differing = [(identified.records[at], known) for at, known in stored.items() if known is not None]
    outcomes = recipe.normalise([keyed for keyed, _ in differing])
    for (keyed, known), outcome in zip(differing, outcomes, strict=True):
        tally.add(keyed, known, outcome)
    return Batch(
        new=new,
        changed=tally.changed,
        rejects=tally.rejects,
        counters=RunCounters(
            inserted=tally.inserted,
            updated=tally.updated,
            unchanged=tally.unchanged + len(identified.records) - len(stored) + haul.unchanged,
            failed=len(tally.rejects),
            duplicates=identified.duplicates + tally.repeated,
        ),
        cursor=haul.cursor,
        complete=haul.complete,
        last_id=identified.records[-1].external_id if identified.records else None,
        notices=haul.notices,
    )


def _new(recipe: Recipe, keyed: Sequence[Keyed]) -> tuple[list[Landed], int, list[Reject]]:
    """Records that were never stored: how they land, how many of them in the dataset, and the rejects."""
    outcomes = recipe.normalise(keyed)
    rejects = [one for one in outcomes if isinstance(one, Reject)]
    landed = [
        Landed(raw, None) if isinstance(one, Reject) else one
        for raw, one in zip(keyed, outcomes, strict=True)
    ]
    return landed, len(landed) - len(rejects), rejects


class _Tally:
    """The decisions about the stored records of one batch, as they are taken."""

    def __init__(self, rejects: list[Reject], inserted: int) -> None:
        self.rejects = rejects
        self.inserted = inserted
        self.changed: list[Landed] = []
        self.updated = self.unchanged = self.repeated = 0

    def add(self, keyed: Keyed, known: Known, outcome: Landed | Reject) -> None:
        same = known.payload_hash == keyed.payload_hash
        if known.this_run and known.processed:
            self.repeated += 1
            if not same:
                self._overwrite(keyed, outcome)
        elif same and known.processed:
            self.unchanged += 1
        else:
            self._settle(keyed, known, outcome, same=same)

    def _settle(self, keyed: Keyed, known: Known, outcome: Landed | Reject, *, same: bool) -> None:
        """A record that is changed, or stored and not yet in the dataset."""
        landed = self._landed(keyed, outcome)
        if landed.data is None:
            if same:
                return
        elif known.in_dataset:
            self.updated += 1
        else:
            self.inserted += 1
        self.changed.append(landed)

    def _overwrite(self, keyed: Keyed, outcome: Landed | Reject) -> None:
        """A later version of a record this run has landed already: it wins, and counts as the duplicate it is."""
        landed = self._landed(keyed, outcome)
        if landed.data is None:
            self.repeated -= 1
        self.changed.append(landed)

    def _landed(self, keyed: Keyed, outcome: Landed | Reject) -> Landed:
        if isinstance(outcome, Reject):
            self.rejects.append(outcome)
            return Landed(keyed, None)
        return outcome
