"""What sets one record apart from the accepted shape: a payload in, what is wrong with it out. For `drift: quarantine`.

Of a JSON record its names and kinds of values down to `DEEPEST`; of a CSV row its columns, since what a cell is can only be
guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kasparro.ingestion.columns import column_names
from kasparro.ingestion.drift.observing import CANNOT_BE_READ, kind_of, objects_in
from kasparro.ingestion.drift.shape import Node, Shape, clean, join
from kasparro.ingestion.values import Unfit, plain
from kasparro.schemas.ingest import RejectReason


def departure(shape: Shape, root: str, payload: bytes, *, cells: bool, source: str) -> Unfit | None:
    """The first thing in which the record departs; None if it does not, or cannot be read, which others reject."""
    if cells:
        columns = dict.fromkeys(column_names(payload))
        found = _of_object(root, shape.nodes.get(root), columns, kinds=False) if columns else iter(())
    else:
        found = _of_record(shape, root, payload)
    for path, what in found:
        hint = f"`kasparro drift accept {source}` lets such records in"
        return Unfit(RejectReason.SCHEMA_DRIFT, f"{what}, other than in the accepted shape: {hint}", path)
    return None


def _of_record(shape: Shape, root: str, payload: bytes) -> Iterator[tuple[str, str]]:
    try:
        value = plain(msgspec.Raw(payload))
    except CANNOT_BE_READ:
        return
    if isinstance(value, dict):
        for path, inner in objects_in(root, value):
            yield from _of_object(path, shape.nodes.get(path), inner, kinds=True)


def _of_object(
    path: str, node: Node | None, value: Mapping[str, Any], *, kinds: bool
) -> Iterator[tuple[str, str]]:
    if node is None or node.open or not node.fields:
        return
    fields = node.fields
    for name, item in value.items():  # once for every value: written for speed
        known = fields.get(name) or fields.get(clean(name))
        if known is None:
            yield join(path, clean(name)), "is a field of its own"
        elif kinds and item is not None and (kind := kind_of(item)) not in known.kinds and known.kinds:
            yield join(path, clean(name)), f"is {kind}, not {' or '.join(sorted(known.kinds))}"
    for name, known in fields.items():
        if known.always and name not in value and name not in map(clean, value):
            yield join(path, name), "is missing"
