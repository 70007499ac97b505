"""Many JSON records taken apart at once: their payloads in, a field of all of them out, as texts or as values. No I/O.

Records that all have the same fields, as those of a table have, become structs, which takes half the time that dicts do.
`identity` asks for their keys, `object_mapping` for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from kasparro.ingestion.paths import Path
from kasparro.ingestion.record_texts import in_jsonb_order
from kasparro.ingestion.values import Fields, Unfit, decode, fields_decoder

Marks = dict[str, list[bool]]
"""Which rows a field was taken whole from; metadata need not repeat it there."""

PIECE: Final = 400
"""Records at once: their parts stay in the processor's cache."""

_MOST_FIELDS: Final = 500
_NULL: Final = msgspec.Raw(b"null")
_split = fields_decoder(cells=False)
_in_order = lru_cache(maxsize=256)(in_jsonb_order)


class Objects(Protocol):
    """Records whose fields are texts so far."""

    @property
    def names(self) -> Collection[str]:
        """The fields that any of them has."""
        ...

    def texts(self, name: str) -> list[msgspec.Raw]:
        """One text a record; `null` where it has no such field."""
        ...

    def each(self) -> Iterable[Fields]: ...

    def left(self, taken: Mapping[str, list[bool]]) -> Iterable[Any]:
        """What was not *taken*, of each record, as it is to be written: in the order of JSONB."""
        ...


class Alike:
    """Records with the same fields. `names` are in the order of the first."""

    def __init__(self, names: tuple[str, ...], shape: _Shape, payloads: Sequence[bytes]) -> None:
        """Raises `msgspec.MsgspecError` when one has others."""
        self.names = names
        self._shape = shape
        self._rows = list(map(shape.read, payloads))

    def texts(self, name: str) -> list[msgspec.Raw]:
        return list(map(self._shape.getters[name], self._rows))

    def each(self) -> Iterable[Fields]:
        columns = map(self.texts, self.names)
        return [dict(zip(self.names, row, strict=True)) for row in zip(*columns, strict=True)]

    def left(self, taken: Mapping[str, list[bool]]) -> Iterable[Any]:
        return map(self._shape.row, *(self._untaken(name, taken.get(name)) for name in self._shape.getters))

    def _untaken(self, name: str, taken: list[bool] | None) -> Iterable[Any]:
        if taken is None:
            return self.texts(name)
        if all(taken):
            return repeat(msgspec.UNSET, len(taken))
        return [msgspec.UNSET if took else text for text, took in zip(self.texts(name), taken, strict=True)]


class Various:
    """Records with whatever fields."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        """Raises `Unfit` when one is no object."""
        self._records = list(map(_split, payloads))
        self.names: Collection[str] = set[str]().union(*self._records)

    def texts(self, name: str) -> list[msgspec.Raw]:
        return [record.get(name, _NULL) for record in self._records]

    def each(self) -> Iterable[Fields]:
        return self._records

    def left(self, taken: Mapping[str, list[bool]]) -> Iterable[Any]:
        everywhere = {name for name, rows in taken.items() if all(rows)}
        left = [
            {name: record[name] for name in _in_order(tuple(record)) if name not in everywhere}
            for record in self._records
        ]
        for name in taken.keys() - everywhere:
            for row, took in enumerate(taken[name]):
                if took:
                    left[row].pop(name, None)
        return left


class _Shape:
    """A struct of the fields *names*, in the order of JSONB. `getters` are by those names."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises `ValueError` for a name that has to be escaped."""
        fields = {f"c{number}": name for number, name in enumerate(in_jsonb_order(names))}
        self.row = msgspec.defstruct(
            "Row", [(f, msgspec.Raw) for f in fields], rename=fields, gc=False, forbid_unknown_fields=True
        )
        self.read: Callable[[bytes], Any] = msgspec.json.Decoder(self.row).decode
        self.getters = {name: attrgetter(field) for field, name in fields.items()}


@lru_cache(maxsize=64)
def _shape(names: tuple[str, ...]) -> _Shape | None:
    if not 0 < len(names) <= _MOST_FIELDS:
        return None
    try:
        return _Shape(names)
    except ValueError:
        return None


def alike(payloads: Sequence[bytes]) -> Alike | None:
    """The records, if all have the fields of the first."""
    try:
        names = tuple(_split(payloads[0]))
        shape = _shape(names)
        return None if shape is None else Alike(names, shape, payloads)
    except (Unfit, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def objects_of(payloads: Sequence[bytes]) -> Objects:
    """The records, whatever fields they have. Raises `Unfit` when one is no object."""
    return alike(payloads) or Various(payloads)


def values_reader(objects: Objects) -> Callable[[Path], Sequence[Any] | None]:
    """Reads what a path finds in each record; None where it cannot find anything. Raises `msgspec.MsgspecError`."""
    decoded: dict[str, Sequence[Any]] = {}

    def column(name: str) -> Sequence[Any]:
        if name not in decoded:
            decoded[name] = decode(b"[" + b",".join(objects.texts(name)) + b"]")
        return decoded[name]

    def read(path: Path) -> Sequence[Any] | None:
        if path.first is None:
            return [path.read(record) for record in objects.each()]
        if path.first not in objects.names:
            return None
        values = column(path.first)
        return values if path.field else [path.read({path.first: value}) for value in values]

    return read
