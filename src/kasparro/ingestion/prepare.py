"""Pages in, the batch to commit out: identify, tell new from changed from unchanged, normalise, count. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, cast

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.alike import AlikeRejects
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.drift.watch import DriftWatch, Watched
from kasparro.ingestion.identity import Identify, identifier
from kasparro.ingestion.incremental.lateness import NoticeLate, lateness
from kasparro.ingestion.incremental.version import ReadVersion, is_older, version_reader
from kasparro.ingestion.matching import Match, matcher
from kasparro.ingestion.normalise import Normalise, normaliser, reject
from kasparro.ingestion.values import Unfit
from kasparro.schemas.ingest import (
    Batch,
    Keyed,
    Known,
    Landed,
    Notice,
    NoticeCode,
    Reject,
    RejectReason,
    RunCounters,
    Stored,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A source's declaration, compiled.

    `version` is None where records have none; `watch` and `alike` follow one attempt of a run.
    """

    identify: Identify
    normalise: Normalise
    late: NoticeLate
    watch: DriftWatch
    match: Match
    version: ReadVersion | None = None
    alike: AlikeRejects = field(default_factory=AlikeRejects)

    @classmethod
    def of(cls, declaration: SourceDeclaration) -> Recipe:
        read, declared = version_reader(declaration), declaration.incremental
        normalise = normaliser(declaration)
        if declared is not None and read is not None and declared.nulls == "reject":
            normalise = _rejecting(normalise, _without_version(read, declared.field))
        late, watch = lateness(declaration, read), DriftWatch(declaration)
        return cls(identifier(declaration), normalise, late, watch, matcher(declaration), read)

    def following(self, shape: bytes | None) -> Self:
        """The same for an attempt that begins with the accepted *shape* as it is stored."""
        watch = self.watch.resumed(shape)
        normalise = _rejecting(self.normalise, watch.departure) if watch.rejects else self.normalise
        return replace(self, watch=watch, normalise=normalise, alike=AlikeRejects())

    def without(self, refused: Mapping[str, str]) -> Self:
        """The same, rejecting the records the database has *refused*, for its reasons."""

        def fault(keyed: Keyed) -> Unfit | None:
            reason = refused.get(keyed.external_id)
            return None if reason is None else Unfit(RejectReason.REFUSED_BY_DATABASE, reason)

        return replace(self, normalise=_rejecting(self.normalise, fault))


def _rejecting(normalise: Normalise, fault: Callable[[Keyed], Unfit | None]) -> Normalise:
    """*normalise* for what has no *fault*; what has one becomes a reject."""

    def rejecting(keyed: Sequence[Keyed]) -> list[Landed | Reject]:
        faults = [fault(one) for one in keyed]
        fitting = iter(normalise([one for one, wrong in zip(keyed, faults, strict=True) if wrong is None]))
        return [
            next(fitting) if wrong is None else reject(one, wrong)
            for one, wrong in zip(keyed, faults, strict=True)
        ]

    return rejecting


def _without_version(read: ReadVersion, field: str) -> Callable[[Keyed], Unfit | None]:
    def fault(keyed: Keyed) -> Unfit | None:
        if read(keyed.raw.payload) is not None:
            return None
        return Unfit(RejectReason.NO_VERSION, "has no time or version that can be read", field)

    return fault


_Found = tuple[Keyed, Known]


@dataclass(frozen=True, slots=True)
class Identified:
    """A haul with identities: one record per key (the newest one won, or the later), rejects, and how many lost.

    `watched`: how its records differ in shape from those before.
    """

    records: Sequence[Keyed]
    keys: frozenset[str]
    rejects: Sequence[Reject]
    duplicates: int
    watched: Watched


def identify(recipe: Recipe, haul: Haul) -> Identified:
    met: set[tuple[str, ...]] = set()
    outcomes = recipe.identify(haul.records, met.add)
    unnamed = [one for one in outcomes if isinstance(one, Reject)]
    keyed = (
        [one for one in outcomes if isinstance(one, Keyed)] if unnamed else cast("Sequence[Keyed]", outcomes)
    )
    rejects = recipe.alike.numbered([*haul.rejects, *unnamed])
    keys = frozenset([one.external_id for one in keyed])
    records = keyed if len(keys) == len(keyed) else _latest(keyed, recipe.version)
    watched = recipe.watch.look(haul.records, met, complete=haul.complete)
    return Identified(records, keys, rejects, len(keyed) - len(records), watched)


def _latest(keyed: Sequence[Keyed], read: ReadVersion | None) -> list[Keyed]:
    latest: dict[str, Keyed] = {}
    for one in keyed:
        before = latest.pop(one.external_id, None)
        stays = (
            before is not None and read is not None and is_older(read, one.raw.payload, before.raw.payload)
        )
        latest[one.external_id] = before if before is not None and stays else one
    return list(latest.values())


def prepare(recipe: Recipe, haul: Haul, identified: Identified, stored: Stored) -> Batch:
    """Decide for every record what becomes of it, once; the ledger is the sum of these decisions."""
    new, inserted, rejects = _new(
        recipe, [identified.records[at] for at, known in stored.items() if known is None]
    )
    tally = _Tally([*identified.rejects, *rejects], inserted)
    found = [(identified.records[at], known) for at, known in stored.items() if known is not None]
    differing = found if recipe.version is None else _not_older(recipe.version, found, tally)
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
        notices=[*_notices(recipe, haul, new, tally), *identified.watched.notices],
        mark=haul.mark,
        drift=identified.watched.step,
        seen=identified.keys,
        matchable=recipe.match([*new, *tally.changed]),
    )


def _not_older(read: ReadVersion, found: Sequence[_Found], tally: _Tally) -> Sequence[_Found]:
    """Those of the records *found* that may take the place of what is stored; the others are left out, and counted."""
    kept = []
    for keyed, known in found:
        if known.payload is not None and is_older(read, keyed.raw.payload, known.payload):
            tally.leave(known)
        else:
            kept.append((keyed, known))
    return kept


def _notices(recipe: Recipe, haul: Haul, new: Sequence[Landed], tally: _Tally) -> Sequence[Notice]:
    """Those of the haul, and what only shows beside what is stored."""
    found = list(haul.notices)
    if tally.stale:
        message = f"{tally.stale:,} records were older than what is stored, which stays"
        found.append(Notice(NoticeCode.STALE_IGNORED, message, {"records": tally.stale}))
    if haul.known_until is not None:
        found += recipe.late([*new, *tally.changed], haul.known_until)
    return found


def _new(recipe: Recipe, keyed: Sequence[Keyed]) -> tuple[list[Landed], int, list[Reject]]:
    """Records that were never stored: how they land, how many of them in the dataset, and the rejects."""
    outcomes = recipe.normalise(keyed)
    rejects = [one for one in outcomes if isinstance(one, Reject)]
    if not rejects:
        return cast("list[Landed]", outcomes), len(outcomes), []
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
        self.updated = self.unchanged = self.repeated = self.stale = 0

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

    def leave(self, known: Known) -> None:
        """A record that is older than what is stored, which stays as it is."""
        self.stale += 1
        if known.this_run:
            self.repeated += 1
        else:
            self.unchanged += 1

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
