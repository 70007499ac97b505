"""`kasparro ingest --dry-run`: what a run would do, for people and for programs, without a trace in the database."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from kasparro.cli.ingesting import Ended, run_each
from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, textual
from kasparro.cli.progress import Bars
from kasparro.cli.stopping import Stop
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog, SourceDeclaration
from kasparro.core.redaction import for_people
from kasparro.ingestion.batching import Pace
from kasparro.ingestion.ports import Facilities
from kasparro.schemas.drift import sentence
from kasparro.schemas.events import Observer, unobserved
from kasparro.schemas.ingest import RunReport
from kasparro.services.dry_run import Ask, DryRun, NothingStored, RejectTally, StoredData, dry_run
from kasparro.services.sampled_parents import SampledParents
from kasparro.storage.parents import PostgresParents
from kasparro.storage.stored_data import PostgresStoredData

COLUMNS = [
    *textual("source", "would be"),
    *numeric("fetched", "insert", "update", "unchanged", "reject", "duplicates", "delete", "seconds"),
]
EXAMPLE = 200
"""Characters of a rejected record that are shown."""


@dataclass(slots=True)
class DryRuns:
    """The dry runs of one command, by source, as they come in."""

    settings: Settings
    catalog: Catalog
    declarations: Sequence[SourceDeclaration]
    full: bool
    limit: int | None
    allow_deletions: bool
    found: dict[str, DryRun] = field(default_factory=dict)

    async def run(self, url: str | None, stop: Stop) -> list[Ended]:
        """Do them, some at once, and compare with the database at *url*, if there is one; returns how each ended."""
        declared = {one.name: one for one in self.declarations}
        pace = Pace(self.settings.etl_batch_size, self.settings.etl_checkpoint_interval)
        async with _stored(self.settings, self.catalog, url) as (stored, facilities):
            with _watching([*declared]) as observe:
                ask = Ask(self.full, self.limit, observe, stop.event, self.allow_deletions)

                async def one(name: str) -> RunReport:
                    self.found[name] = await dry_run(declared[name], stored, pace, ask, facilities)  # type: ignore[index]  # a name is a name
                    return self.found[name].report

                return await run_each([*declared], one, stop.event)


async def show_dry_runs(runs: DryRuns, url: str | None, stop: Stop, *, as_json: bool) -> int:
    """Do the dry runs, print what they found, and return the exit code."""
    ended = await runs.run(url, stop)
    if as_json:
        print_json([_document(one, runs.found.get(one.source)) for one in ended])
    else:
        print_table(COLUMNS, [_row(one, runs.found.get(one.source)) for one in ended])
        for one in ended:
            for line in _lines(one, runs.found.get(one.source)):
                print_line(line)
        print_line("Nothing was written.")
    return int(any(one.failed for one in ended))


@asynccontextmanager
async def _stored(
    settings: Settings, catalog: Catalog, url: str | None
) -> AsyncIterator[tuple[StoredData, Facilities]]:
    """What to compare with, and what parents there are. A look brings no schema up to date."""
    if url is None:
        yield NothingStored(), Facilities(parents=SampledParents(catalog))
        return
    async with migrated(settings, url, migrate=False) as database:
        yield PostgresStoredData(database), Facilities(parents=PostgresParents.of(catalog, database))


@contextmanager
def _watching(names: Sequence[str]) -> Iterator[Observer]:
    """Bars on a terminal, and nothing elsewhere: log lines of runs that never were would mislead."""
    if not sys.stderr.isatty():
        yield unobserved
        return
    with Bars(names) as bars:
        yield bars.show


def _row(one: Ended, found: DryRun | None) -> list[Any]:
    if one.report is None:
        return [one.source, "failed", *[None] * 8]
    counters = one.report.counters
    return [
        one.source,
        one.report.status.value,
        *(counters.processed, counters.inserted, counters.updated, counters.unchanged, counters.failed),
        counters.duplicates,
        found.would_delete if found else None,
        f"{one.report.duration_ms / 1000:.1f}",
    ]


def _lines(one: Ended, found: DryRun | None) -> Iterator[str]:
    if one.message:
        yield f"{one.source}: {one.message}"
    if found is None:
        return
    start = "from the checkpoint" if found.resumed else "from the beginning"
    yield f"{one.source}: {start}{', cut off by --limit' if found.limited else ''}"
    for reason, tally in found.rejects.items():
        yield f"{one.source}: would reject {tally.records:,}: {reason}: {_why(tally)}"
        yield f"    such as {_example(tally)}"
    if found.withheld:
        yield f"{one.source}: {found.withheld}"
    for drift in found.drifts:
        words = sentence(drift.field, drift.kind, drift.before, drift.after, drift.confidence)
        yield f"{one.source}: the shape of the records has changed: {words}"


def _why(tally: RejectTally) -> str:
    reject = tally.example
    return f"{reject.field}: {reject.message}" if reject.field else reject.message


def _example(tally: RejectTally) -> str:
    return tally.example.payload[: 4 * EXAMPLE].decode("utf-8", "replace")[:EXAMPLE]


def _document(one: Ended, found: DryRun | None) -> dict[str, Any]:
    report = one.report
    counters = report.counters if report else None
    return {
        "source": one.source,
        "dry_run": True,
        "status": report.status.value if report else "failed",
        "resumed": found.resumed if found else None,
        "limited": found.limited if found else None,
        "would_insert": counters.inserted if counters else 0,
        "would_update": counters.updated if counters else 0,
        "unchanged": counters.unchanged if counters else 0,
        "would_reject": counters.failed if counters else 0,
        "duplicates": counters.duplicates if counters else 0,
        "would_delete": found.would_delete if found else None,
        "deletions_withheld": found.withheld if found else None,
        "duration_ms": report.duration_ms if report else 0,
        "error_code": one.code if one.message else None,
        "error": for_people(one.message) if one.message else None,
        "rejects": [
            _reject_document(reason, tally) for reason, tally in (found.rejects if found else {}).items()
        ],
        "schema": _shape_document(found),
    }


def _reject_document(reason: str, tally: RejectTally) -> dict[str, Any]:
    example = tally.example
    return {
        "reason": reason,
        "records": tally.records,
        "field": example.field,
        "message": example.message,
        "place": str(example.origin),
        "example": example.payload.decode("utf-8", "replace"),
    }


def _shape_document(found: DryRun | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "compared": found.compared,
        "changes": [
            {
                "field": drift.field,
                "kind": drift.kind.value,
                "before": drift.before,
                "after": drift.after,
                "confidence": drift.confidence,
                "example": drift.example,
            }
            for drift in found.drifts
        ],
    }
