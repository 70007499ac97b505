"""Differences in words: for the notice of a run, the error that freezes it, and whoever lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kasparro.core.errors import SchemaFrozen
from kasparro.schemas.drift import Decision, Drift, DriftKind, sentence
from kasparro.schemas.ingest import Notice, NoticeCode

MOST_TOLD: Final = 5


def notice(drifts: Sequence[Drift], decision: Decision) -> Notice:
    """All that a run has found so far, what was renamed first."""
    ordered = _ordered(drifts)
    return Notice(
        NoticeCode.SCHEMA_DRIFT,
        f"the shape of the records has changed: {_sentences(ordered)}",
        {
            "decision": decision.value,
            "fields": [f"{drift.field} {drift.kind.value}" for drift in ordered[:MOST_TOLD]],
            "changes": len(drifts),
        },
    )


def frozen(source: str, drifts: Sequence[Drift]) -> SchemaFrozen:
    ordered = _ordered(drifts)
    return SchemaFrozen(source, _sentences(ordered), ordered[0].example.get("place"))


def _sentences(drifts: Sequence[Drift]) -> str:
    more = f"; and {len(drifts) - MOST_TOLD} more" if len(drifts) > MOST_TOLD else ""
    return (
        "; ".join(sentence(d.field, d.kind, d.before, d.after, d.confidence) for d in drifts[:MOST_TOLD])
        + more
    )


def _ordered(drifts: Iterable[Drift]) -> list[Drift]:
    return sorted(drifts, key=lambda drift: (drift.kind is not DriftKind.RENAMED, drift.field))
