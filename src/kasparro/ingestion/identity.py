"""Who a record is, and whether it differs from what is stored: raw records in, their keys and hashes out, or rejects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from kasparro.core.etl_config import CsvSource, SingerSource, SourceDeclaration
from kasparro.ingestion.columns import ReadColumns, as_array, column_names, columns_reader, piecewise
from kasparro.ingestion.ignoring import content_hash, payload_hash
from kasparro.ingestion.objects import PIECE, alike, values_reader
from kasparro.ingestion.paths import Path, compile_path
from kasparro.ingestion.values import Fields, Unfit, fields_decoder, plain
from kasparro.schemas.data import MAX_ID
from kasparro.schemas.ingest import Keyed, RawRecord, Reject, RejectReason, StreamOrigin

DEFAULT_KEY = "id"
DEFAULT_NAME = b'"id":'
"""How that column looks in a payload; in a cell the quotes would be escaped."""

Note = Callable[[tuple[str, ...]], object]
"""Told the names of each JSON record's fields, in their order; of a tap's record, its stream before them."""


def unnoted(names: tuple[str, ...]) -> None:
    """Whoever only wants to know who records are does not ask for their fields."""


class Identify(Protocol):
    """Raw records in, who each is out."""

    def __call__(self, records: Sequence[RawRecord], note: Note = unnoted) -> list[Keyed | Reject]: ...


class IdentifyOne(Protocol):
    """The same for a single record, whatever is in it."""

    def __call__(self, record: RawRecord, note: Note = unnoted) -> Keyed | Reject: ...


def identifier(declaration: SourceDeclaration) -> Identify:
    """Compile how the records of a source are identified: its `key`, else `id`, else (CSV only) the row's content.

    What a tap writes is identified by its stream as well, and by the fields that the tap names where `key` does not.
    """
    if isinstance(declaration, SingerSource):
        tapped = _of_tap(declaration)
        return lambda records, note=unnoted: [tapped(record, note) for record in records]
    one = one_by_one(declaration)
    if not isinstance(declaration, CsvSource):
        return _by_pieces(declaration, one)
    many = _by_columns(declaration)
    return lambda records, note=unnoted: piecewise(many, one, records)  # noqa: ARG005  # a file has a header


def _by_pieces(declaration: SourceDeclaration, one: IdentifyOne) -> Identify:
    """By whole columns where a piece of JSON records is all alike and nothing is to be rejected, else *one* by one."""
    together = _of_alike(declaration)

    def identify(records: Sequence[RawRecord], note: Note = unnoted) -> list[Keyed | Reject]:
        outcomes: list[Keyed | Reject] = []
        for start in range(0, len(records), PIECE):
            piece = records[start : start + PIECE]
            found = together(piece, note)
            outcomes += [one(record, note) for record in piece] if found is None else found
        return outcomes

    return identify


def _of_alike(
    declaration: SourceDeclaration,
) -> Callable[[Sequence[RawRecord], Note], Sequence[Keyed] | None]:
    paths = tuple(compile_path(text, cells=False) for text in declaration.identity() or (DEFAULT_KEY,))
    hashed = content_hash(declaration)

    def identify(records: Sequence[RawRecord], note: Note) -> list[Keyed] | None:
        payloads = [record.payload for record in records]
        found = alike(payloads)
        if found is None:
            return None
        read = values_reader(found)
        try:
            columns = [read(path) for path in paths]
            parts = [_key_texts(c, p.text) for c, p in zip(columns, paths, strict=True) if c is not None]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Unfit):
            return None
        identities = _identities(parts) if len(parts) == len(paths) else None
        if identities is None:
            return None
        note(found.names)
        return list(map(Keyed, identities, map(hashed, payloads), records))

    return identify


def one_by_one(declaration: SourceDeclaration) -> IdentifyOne:
    cells = isinstance(declaration, CsvSource)
    split = fields_decoder(cells=cells)
    paths = tuple(compile_path(text, cells=cells) for text in declaration.identity() or (DEFAULT_KEY,))
    by_content = cells and declaration.key is None
    hashed = content_hash(declaration)

    def identify(record: RawRecord, note: Note = unnoted) -> Keyed | Reject:
        digest = hashed(record.payload)
        try:
            fields = split(record.payload)
            note(tuple(fields))
            if by_content and DEFAULT_KEY not in fields:
                return Keyed(_by_content(payload_hash(record.payload), record.repeat), digest, record)
            return Keyed(_identity(fields, paths), digest, record)
        except Unfit as unfit:
            return Reject(record.payload, record.origin, unfit.reason, unfit.message, unfit.field)

    return identify


def _of_tap(declaration: SingerSource) -> IdentifyOne:
    split = fields_decoder(cells=False)
    declared = tuple(compile_path(text, cells=False) for text in declaration.key or ())
    hashed = content_hash(declaration)

    @lru_cache(maxsize=1_024)
    def paths(names: tuple[str, ...]) -> tuple[Path, ...]:
        return declared or tuple(map(_whole_field, names or (DEFAULT_KEY,)))

    def identify(record: RawRecord, note: Note = unnoted) -> Keyed | Reject:
        try:
            fields = split(record.payload)
            note((_stream_of(record), *fields))
            identity = _identity(fields, paths(record.key), before=(_stream_of(record),))
            return Keyed(identity, hashed(record.payload), record)
        except Unfit as unfit:
            return Reject(record.payload, record.origin, unfit.reason, unfit.message, unfit.field)

    return identify


def _whole_field(name: str) -> Path:
    """A field by its name, whatever characters that has."""
    return Path(name, name, lambda fields: plain(fields.get(name)))


def _stream_of(record: RawRecord) -> str:
    return record.origin.stream if isinstance(record.origin, StreamOrigin) else ""


def _by_columns(declaration: CsvSource) -> Callable[[Sequence[RawRecord]], list[Keyed | Reject] | None]:
    """The same for rows that are all alike, with nothing to be rejected among them; None otherwise."""
    key = declaration.key or (DEFAULT_KEY,)
    hashed = content_hash(declaration)

    @lru_cache(maxsize=8)
    def reader(names: tuple[str, ...]) -> ReadColumns | None:
        return columns_reader(key) if set(key) <= set(names) else None

    def identify(records: Sequence[RawRecord]) -> list[Keyed | Reject] | None:
        payloads = [record.payload for record in records]
        array = as_array(payloads)
        if array is None:
            return None
        digests = list(map(hashed, payloads))
        if declaration.key is None and DEFAULT_NAME not in array:
            whole = digests if hashed is payload_hash else map(payload_hash, payloads)
            repeats = [record.repeat for record in records]
            return list(map(Keyed, map(_by_content, whole, repeats), digests, records))
        read = reader(column_names(payloads[0]))
        if read is None:
            return None
        try:
            columns = read(array)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        identities = _identities([columns[name] for name in key])
        return None if identities is None else list(map(Keyed, identities, digests, records))

    return identify


def _by_content(digest: bytes, repeat: int) -> str:
    """The identity of a row that has no other: its content, and its number when there are equal ones before it."""
    return f"{digest.hex()}-{repeat + 1}" if repeat else digest.hex()


def _identities(parts: Sequence[list[str]]) -> list[str] | None:
    """The identities of many rows, or None when one of them has none."""
    if any("" in column for column in parts):
        return None
    together = map("|".join, zip(*map(_escaped, parts), strict=True))
    identities = parts[0] if len(parts) == 1 else list(together)
    return identities if max(map(len, identities)) <= MAX_ID else None


def _escaped(column: list[str]) -> list[str]:
    together = "".join(column)
    return [_escape(part) for part in column] if "|" in together or "\\" in together else column


def _identity(fields: Fields, paths: tuple[Path, ...], before: tuple[str, ...] = ()) -> str:
    parts = [*before, *(_key_text(path.read(fields), path.text) for path in paths)]
    identity = parts[0] if len(parts) == 1 else "|".join(map(_escape, parts))
    if len(identity) > MAX_ID:
        raise Unfit(
            RejectReason.IDENTITY_TOO_LONG, f"the key is longer than {MAX_ID} characters", paths[0].text
        )
    return identity


def _key_texts(values: Sequence[Any], field: str) -> list[str]:
    if set(map(type, values)) == {int}:
        return list(map(str, values))
    return [_key_text(value, field) for value in values]


def _key_text(value: Any, field: str) -> str:
    match value:
        case str() if value:
            if "\0" in value:
                raise Unfit(RejectReason.INVALID_TEXT, "the key contains a NUL character", field)
            return value
        case bool() | None | "":
            raise Unfit(RejectReason.NO_IDENTITY, f"the key field {field!r} has no value", field)
        case int() | Decimal():
            return str(value)
        case _:
            raise Unfit(RejectReason.NO_IDENTITY, f"the key field {field!r} is not a text or a number", field)


def _escape(part: str) -> str:
    """Keep ("a|b", "c") and ("a", "b|c") apart."""
    return part.replace("\\", "\\\\").replace("|", "\\|")
