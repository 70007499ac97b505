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
from kasparro.schemas.ingest import Batch, Keyed, Known, Landed, Reject, RejectReason, RunCounters


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

        def normalise(keyed: Keyed) -> Landed | Reject:
            reason = refused.get(keyed.external_id)
            if reason is None:
                return self.normalise(keyed)
            return reject(keyed, Unfit(RejectReason.REFUSED_BY_DATABASE, reason))

        return replace(self, normalise=normalise)


@dataclass(frozen=True, slots=True)
class Identified:
    """A haul with identities: one record per key (the later one won), rejects, and how many lost to a later one."""

    records: dict[str, Keyed]
    rejects: Sequence[Reject]
    duplicates: int


def identify(recipe: Recipe, haul: Haul) -> Identified:
    records: dict[str, Keyed] = {}
    rejects = list(haul.rejects)
    duplicates = 0
    for raw in haul.records:
        keyed = recipe.identify(raw)
        if isinstance(keyed, Reject):
            rejects.append(keyed)
            continue
        duplicates += records.pop(keyed.external_id, None) is not None
        records[keyed.external_id] = keyed
    return Identified(records, rejects, duplicates)


def prepare(recipe: Recipe, haul: Haul, identified: Identified, known: Mapping[str, Known]) -> Batch:
    """Decide for every record what becomes of it, once; the ledger is the sum of these decisions."""
    tally = _Tally(recipe.normalise, list(identified.rejects))
    for external_id, keyed in identified.records.items():
        tally.add(keyed, known.get(external_id))
    return Batch(
        new=tally.new,
        changed=tally.changed,
        rejects=tally.rejects,
        counters=RunCounters(
            inserted=tally.inserted,
            updated=tally.updated,
            unchanged=tally.unchanged,
            failed=len(tally.rejects),
            duplicates=identified.duplicates + tally.repeated,
        ),
        cursor=haul.cursor,
        complete=haul.complete,
        last_id=next(reversed(identified.records), None),
    )


class _Tally:
    """The decisions of one batch, as they are taken."""

    def __init__(self, normalise: Normalise, rejects: list[Reject]) -> None:
        self.normalise = normalise
        self.rejects = rejects
        self.new: list[Landed] = []
        self.changed: list[Landed] = []
        self.inserted = self.updated = self.unchanged = self.repeated = 0

    def add(self, keyed: Keyed, known: Known | None) -> None:
        same = known is not None and known.payload_hash == keyed.payload_hash
        if known is not None and known.this_run and known.processed:
            self.repeated += 1
            if not same:
                self._overwrite(keyed)
        elif same and known is not None and known.processed:
            self.unchanged += 1
        else:
            self._settle(keyed, known, same=same)

    def _settle(self, keyed: Keyed, known: Known | None, *, same: bool) -> None:
        """A record that is new, changed, or stored and not yet in the dataset."""
        landed = self._normalised(keyed)
        if landed.data is None:
            if same:
                return
        elif known is not None and known.in_dataset:
            self.updated += 1
        else:
            self.inserted += 1
        (self.new if known is None else self.changed).append(landed)

    def _overwrite(self, keyed: Keyed) -> None:
        """A later version of a record this run has landed already: it wins, and counts as the duplicate it is."""
        landed = self._normalised(keyed)
        if landed.data is None:
            self.repeated -= 1
        self.changed.append(landed)

    def _normalised(self, keyed: Keyed) -> Landed:
        outcome = self.normalise(keyed)
        if isinstance(outcome, Reject):
            self.rejects.append(outcome)
            return Landed(keyed, None)
        return outcome
