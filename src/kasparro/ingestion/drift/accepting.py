"""The accepted shape with a difference in it: at once under `evolve`, when an operator says so under the other policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kasparro.ingestion.drift.comparing import NEVER, Difference, names_of, take_values
from kasparro.ingestion.drift.observing import Observation
from kasparro.ingestion.drift.shape import OPEN, Field, Shape, dump, load, places
from kasparro.schemas.drift import DriftKind, DriftView

Side = Mapping[str, Any] | None


def evolve(shape: Shape, difference: Difference, seen: Observation) -> None:
    """Take *difference* over, with all that the batch says of the field."""
    _accept(shape, difference.node, difference.name, difference.kind, difference.after)
    if difference.to is not None:
        objects = seen[difference.node]
        known = shape.nodes[difference.node].fields[difference.to]
        known.always = difference.to in names_of(objects.names)[1]
        known.objects = objects.sampled
        take_values(known, difference.seen, shape.evidence)


def accept_all(stored: bytes, drifts: Sequence[DriftView]) -> bytes:
    """The shape as it is stored with what the ledger has of *drifts* in it."""
    shape = load(stored)
    for drift in drifts:
        for node, name in list(places(shape, drift.field_path)):
            _accept(shape, node, name, drift.kind, drift.after)
    return dump(shape)


def _accept(shape: Shape, node: str, name: str, kind: DriftKind, after: Side) -> None:
    fields, now = shape.nodes[node].fields, after or {}
    kinds = dict.fromkeys(now.get("types", ()), shape.evidence)
    match kind:
        case DriftKind.ADDED if name == OPEN:
            shape.nodes[node].open = True
        case DriftKind.ADDED:
            fields.setdefault(name, Field(always=False, kinds=kinds))
        case DriftKind.RENAMED:
            shape.rename(
                node, name, now["field"], fields.get(now["field"]) or Field(always=False, kinds=kinds)
            )
        case _ if name not in fields:
            pass  # it is gone by now
        case DriftKind.MISSING if now["presence"] == NEVER:
            shape.remove(node, name)
        case DriftKind.MISSING:
            fields[name].always = False
        case DriftKind.TYPE_CHANGED:
            fields[name].kinds |= kinds
        case DriftKind.NULL_RATE:
            fields[name].nulls = round(now["nulls"] * fields[name].present)
