"""Who a record is, and whether it differs from what is stored: a raw record in, its key and hash out, or a reject."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.ingestion.paths import Path, compile_path
from kasparro.ingestion.values import Fields, Unfit, fields_decoder
from kasparro.schemas.data import MAX_ID
from kasparro.schemas.ingest import Keyed, RawRecord, Reject, RejectReason

DEFAULT_KEY = "id"
HASH_BYTES = 16

Identify = Callable[[RawRecord], Keyed | Reject]


def payload_hash(payload: bytes) -> bytes:
    """128 bits of BLAKE2b (RFC 7693) over the record's text as received."""
    return blake2b(payload, digest_size=HASH_BYTES).digest()


def identifier(declaration: SourceDeclaration) -> Identify:
    """Compile how the records of a source are identified: its `key`, else `id`, else (CSV only) the row's content."""
    cells = isinstance(declaration, CsvSource)
    split = fields_decoder(cells=cells)
    paths = tuple(compile_path(text, cells=cells) for text in declaration.key or (DEFAULT_KEY,))
    by_content = cells and declaration.key is None

    def identify(record: RawRecord) -> Keyed | Reject:
        digest = payload_hash(record.payload)
        try:
            fields = split(record.payload)
            if by_content and DEFAULT_KEY not in fields:
                return Keyed(digest.hex(), digest, record)
            return Keyed(_identity(fields, paths), digest, record)
        except Unfit as unfit:
            return Reject(record.payload, record.origin, unfit.reason, unfit.message, unfit.field)

    return identify


def _identity(fields: Fields, paths: tuple[Path, ...]) -> str:
    parts = [_key_text(path.read(fields), path.text) for path in paths]
    identity = parts[0] if len(parts) == 1 else "|".join(map(_escape, parts))
    if len(identity) > MAX_ID:
        raise Unfit(
            RejectReason.IDENTITY_TOO_LONG, f"the key is longer than {MAX_ID} characters", paths[0].text
        )
    return identity


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
