"""How the runs ended, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kasparro.cli.ingesting import Ended
from kasparro.cli.output import numeric, print_line, print_table, textual
from kasparro.schemas.ingest import RunCounters, RunReport
from kasparro.storage.diagnostics import ReasonCount

COLUMNS = [
    *textual("source", "status"),
    *numeric("processed", "inserted", "updated", "unchanged", "failed", "duplicates", "deleted"),
    *numeric("seconds", "records/s"),
]

Reasons = Mapping[str, Sequence[ReasonCount]]
"""By run: why records were rejected, the commonest reason first."""

ShapeChanges = Mapping[str, str]
"""By run: how the shape of the records has changed."""


def as_document(ended: Sequence[Ended], reasons: Reasons, changes: ShapeChanges) -> list[dict[str, Any]]:
    """The list that `--json` prints; a source that could not be run has no `run_id` and zeros."""
    return [_document(one, reasons, changes) for one in ended]


def _document(one: Ended, reasons: Reasons, changes: ShapeChanges) -> dict[str, Any]:
    counters = one.report.counters if one.report else RunCounters()
    return {
        "source": one.source,
        "run_id": one.run_id,
        "status": one.report.status.value if one.report else "failed",
        **counters.as_columns(),
        "duration_ms": one.report.duration_ms if one.report else 0,
        "error_code": one.code if one.message else None,
        "error": one.message,
        "resume_at": one.report.resume_at.isoformat() if one.report and one.report.resume_at else None,
        "shape_changes": changes.get(one.run_id or ""),
        "rejects": {r.reason: r.records for r in reasons.get(one.run_id or "", ())},
    }


def print_summary(ended: Sequence[Ended], reasons: Reasons, changes: ShapeChanges) -> None:
    """A table, then lines for each source that failed, rejected records or changed their shape."""
    print_table(COLUMNS, [_row(one) for one in ended])
    for one in ended:
        if one.run_id and one.run_id in changes:
            print_line(f"{one.source}: {changes[one.run_id]}")
        if one.message:
            print_line(f"{one.source}: {one.message}")
        elif one.report and one.report.counters.failed:
            print_line(_rejects(one.report, reasons))


def _row(one: Ended) -> list[Any]:
    if one.report is None:
        return [one.source, "failed", *[None] * 9]
    counters, seconds = one.report.counters, one.report.duration_ms / 1000
    rate = round(counters.processed / seconds) if seconds else None
    return [
        one.source,
        one.report.status.value,
        *counters.as_columns().values(),
        f"{seconds:.1f}",
        rate,
    ]


def _rejects(report: RunReport, reasons: Reasons) -> str:
    why = ", ".join(f"{r.reason} {r.records:,}" for r in reasons.get(report.run_id, ()))
    kept = f"{report.counters.failed:,} records were rejected and are kept, with the reason, in the table quarantine"
    return f"{report.source}: {kept}" + (f" ({why})" if why else "")
