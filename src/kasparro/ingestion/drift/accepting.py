"""The accepted shape with a difference in it: at once under `evolve`, when an operator says so under the other policies.

It only ever becomes wider, so that accepting comes to an end, in whatever order a source sends old and new records: a
field that is gone or called otherwise may come back, it is only no longer missed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from kasparro.ingestion.drift.comparing import NEVER, Difference, take_values
from kasparro.ingestion.drift.observing import Observation
from kasparro.ingestion.drift.shape import OPEN, Field, Shape, dump, load, places
from kasparro.schemas.drift import DriftKind, DriftView

Side = Mapping[str, Any] | None


def evolve(shape: Shape, difference: Difference, seen: Observation) -> None:
    """Take *difference* over, with what the batch says of a field that is new."""
    _accept(shape, difference.node, difference.name, difference.kind, difference.after)
    if difference.kind is DriftKind.ADDED and difference.to is not None:
        known = shape.nodes[difference.node].fields[difference.to]
        known.objects = seen[difference.node].sampled
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
        case _ if name not in fields:
            pass  # the ledger knows more than the shape, which was learned anew
        case DriftKind.RENAMED:
            _rename(fields, name, now["field"], kinds)
        case DriftKind.MISSING if now["presence"] == NEVER:
            fields[name].retire()
        case DriftKind.MISSING:
            fields[name].always = False
        case DriftKind.TYPE_CHANGED:
            fields[name].kinds |= kinds
        case DriftKind.NULL_RATE:
            fields[name].nulls = round(now["nulls"] * fields[name].present)


def _rename(fields: dict[str, Field], name: str, to: str, kinds: dict[str, int]) -> None:
    """What was expected of the old name is expected of the new one. Of two that take turns, neither is."""
    before = fields[name]
    if to in fields:
        fields[to].kinds |= kinds
    else:
        fields[to] = copy.deepcopy(before)
        fields[to].always = False
        fields[to].kinds = kinds or before.kinds
    before.retire()
