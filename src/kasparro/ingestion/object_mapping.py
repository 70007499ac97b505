"""A source's map over many JSON records: the columns that it reads are decoded at once, the records written together. No I/O.

Does what `mapping` and `normalise` do for one record; a test holds the two against each other. Where a record does not fit,
nothing comes out, and the records are taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.mapping import Rule, rules_of
from kasparro.ingestion.paths import Path
from kasparro.ingestion.record_texts import in_jsonb_order, texts_of
from kasparro.ingestion.values import Fields, Unfit, are_unsuspicious, check_storable, decode, fields_decoder
from kasparro.schemas.ingest import Keyed

Marks = dict[str, list[bool]]
"""Which rows a field was taken whole from; metadata need not repeat it there."""

_NULL: Final = msgspec.Raw(b"null")
_in_order = lru_cache(maxsize=256)(in_jsonb_order)


class ObjectNormaliser:
    """Makes DataRecords of the records of one source."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._source = declaration.name
        self._rules = rules_of(declaration)
        self._split = fields_decoder(cells=False)

    def __call__(self, keyed: Sequence[Keyed]) -> list[bytes] | None:
        """One text a record, or None unless every record fits."""
        payloads = [one.raw.payload for one in keyed]
        try:
            if not are_unsuspicious(payloads):
                for payload in payloads:
                    check_storable(payload)
            records = list(map(self._split, payloads))
            taken: Marks = {}
            found = _reader(records)
            filled = {rule.name: _fill(rule, found, len(records), taken) for rule in self._rules}
            return texts_of(self._source, [one.external_id for one in keyed], filled, _left(records, taken))
        except (msgspec.MsgspecError, Unfit, ValidationError):
            return None


def _reader(records: Sequence[Fields]) -> Callable[[Path], Sequence[Any] | None]:
    """Reads what a path finds in each record; None where it cannot find anything."""
    names = set().union(*records)
    decoded: dict[str, list[Any]] = {}

    def column(name: str) -> list[Any]:
        if name not in decoded:
            texts = [record.get(name, _NULL) for record in records]
            decoded[name] = decode(b"[" + b",".join(texts) + b"]")
        return decoded[name]

    def read(path: Path) -> Sequence[Any] | None:
        if path.first is None:
            return [path.read(record) for record in records]
        if path.first not in names:
            return None
        values = column(path.first)
        return values if path.field else [path.read({path.first: value}) for value in values]

    return read


def _fill(
    rule: Rule, found: Callable[[Path], Sequence[Any] | None], count: int, taken: Marks
) -> Sequence[Any]:
    """The values of one field of *count* records; what they took whole is added to *taken*. Raises `Unfit`."""
    columns = [(path, values) for path in rule.paths if (values := found(path)) is not None]
    if not columns:
        return [rule.default] * count
    path, values = columns[0]
    if rule.keeps_text and set(map(type, values)) == {str}:
        if path.field:
            taken[path.field] = [True] * count
        return values
    return [_first(rule, columns, row, count, taken) for row in range(count)]


def _first(
    rule: Rule, columns: Sequence[tuple[Path, Sequence[Any]]], row: int, count: int, taken: Marks
) -> Any:
    """The first of the *columns* that has a value in *row* that fits."""
    for path, values in columns:
        if values[row] is None:
            continue
        try:
            value, converted = rule.convert(values[row])
        except Unfit:
            if rule.declared:
                raise
            continue
        if path.field and not converted:
            taken.setdefault(path.field, [False] * count)[row] = True
        return value
    return rule.default


def _left(records: Sequence[Fields], taken: Mapping[str, list[bool]]) -> Sequence[Fields]:
    """What goes to metadata: all that was not taken."""
    everywhere = {name for name, rows in taken.items() if all(rows)}
    left = [
        {name: record[name] for name in _in_order(tuple(record)) if name not in everywhere}
        for record in records
    ]
    for name in taken.keys() - everywhere:
        for row, took in enumerate(taken[name]):
            if took:
                left[row].pop(name, None)
    return left
