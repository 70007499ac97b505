"""A source's map over many JSON records: the columns that it reads are decoded at once, the records written together. No I/O.

Does what `mapping` and `normalise` do for one record; a test holds the two against each other. Where a record does not fit,
nothing comes out, and the records are taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pydantic import ValidationError

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.mapping import Rule, rules_of
from kasparro.ingestion.objects import Marks, objects_of, values_reader
from kasparro.ingestion.paths import Path
from kasparro.ingestion.record_texts import texts_of
from kasparro.ingestion.values import Unfit, are_unsuspicious, check_storable
from kasparro.schemas.ingest import Keyed


class ObjectNormaliser:
    """Makes DataRecords of the records of one source."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._source = declaration.name
        self._rules = rules_of(declaration)

    def __call__(self, keyed: Sequence[Keyed]) -> list[bytes] | None:
        """One text a record, or None unless every record fits."""
        payloads = [one.raw.payload for one in keyed]
        try:
            if not are_unsuspicious(payloads):
                for payload in payloads:
                    check_storable(payload)
            objects = objects_of(payloads)
            taken: Marks = {}
            found = values_reader(objects)
            filled = {rule.name: _fill(rule, found, len(keyed), taken) for rule in self._rules}
            return texts_of(self._source, [one.external_id for one in keyed], filled, objects.left(taken))
        except (msgspec.MsgspecError, Unfit, ValidationError):
            return None


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
    if rule.declared and None not in values:
        converted = list(map(rule.convert, values))
        if path.field and not all(changed for _, changed in converted):
            taken[path.field] = _also(taken.get(path.field), [not changed for _, changed in converted])
        return [value for value, _ in converted]
    return [_first(rule, columns, row, count, taken) for row in range(count)]


def _also(before: list[bool] | None, marks: list[bool]) -> list[bool]:
    return marks if before is None else [one or other for one, other in zip(before, marks, strict=True)]


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
