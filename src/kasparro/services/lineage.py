"""What a record was made from: the stored facts, and field by field what the declared map takes from the raw record.

Which value came from where is not stored: the map is applied to the raw record again, so it is told of the map in force, and
`reproduces` says whether that is the one the record was made by.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from kasparro.core.etl_config import Catalog, SourceDeclaration
from kasparro.ingestion.mapping import FieldOrigin, explain
from kasparro.ingestion.normalise import fields_reader, one_by_one
from kasparro.ingestion.values import Fields, Unfit
from kasparro.schemas.ingest import ApiOrigin, Keyed, RawRecord, Reject, RunStatus
from kasparro.schemas.lineage import FieldLineage, Lineage, MapOrigin, RawOrigin, RunOrigin
from kasparro.storage.lineage import LineageArchive, StoredLineage

DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode
NOWHERE: Final = ApiOrigin("", 1, 0)
"""What is looked at again comes from the archive; its place does not matter to the map."""


class LineageService:
    def __init__(self, catalog: Catalog, archive: LineageArchive) -> None:
        self._catalog = catalog
        self._archive = archive

    async def of(self, record_id: int) -> Lineage | None:
        return (await self.of_each([record_id])).get(record_id)

    async def of_each(self, record_ids: Sequence[int]) -> dict[int, Lineage]:
        """The lineage of every one of the records that is there."""
        return {stored.id: self._told(stored) for stored in await self._archive.of_each(record_ids)}

    def _told(self, stored: StoredLineage) -> Lineage:
        declaration = self._catalog.sources.get(stored.source)
        described, fields = _map_of(declaration, stored) if declaration else (None, None)
        return Lineage(
            id=stored.id,
            source=stored.source,
            source_id=stored.source_id,
            declared=declaration is not None,
            version=stored.version,
            raw=_raw_of(stored),
            run=_run_of(stored),
            map=described,
            fields=fields,
        )

    async def payload(self, record_id: int) -> str | None:
        """The text of the raw record of a record, as received."""
        return await self._archive.payload(record_id)


def _raw_of(stored: StoredLineage) -> RawOrigin | None:
    if stored.raw_id is None:
        return None
    values: dict[str, Any] = {
        "id": stored.raw_id,
        "external_id": stored.source_id,
        "ingested_at": stored.ingested_at,
        "payload_hash": (stored.payload_hash or b"").hex(),
        "processed": stored.processed,
        "place": {"kind": stored.kind, **(stored.place or {})},
        "href": f"/data/{stored.id}/raw",
    }
    return RawOrigin.model_validate(values)


def _run_of(stored: StoredLineage) -> RunOrigin | None:
    if stored.run_id is None or stored.status is None or stored.start_time is None:
        return None
    return RunOrigin(
        run_id=stored.run_id,
        status=RunStatus(stored.status),
        start_time=stored.start_time,
        end_time=stored.end_time,
        duration_ms=stored.duration_ms,
    )


def _map_of(
    declaration: SourceDeclaration, stored: StoredLineage
) -> tuple[MapOrigin | None, dict[str, FieldLineage] | None]:
    """The map in force, and what it does with the raw record; nothing is told of the fields where it rejects it."""
    if stored.payload is None:
        return None, None
    payload = stored.payload.encode()
    fingerprint = declaration.map_fingerprint()
    outcome = one_by_one(declaration)(Keyed(stored.source_id, b"", RawRecord(payload, NOWHERE)))
    if isinstance(outcome, Reject):
        return MapOrigin(fingerprint=fingerprint, reproduces=False, rejects=outcome.message), None
    try:
        fields = fields_reader(declaration)(payload)
        origins = explain(declaration, fields)
    except Unfit as unfit:  # a check has let pass what the map does not take
        return MapOrigin(fingerprint=fingerprint, reproduces=False, rejects=unfit.message), None
    made = DECODE(outcome.data or b"null")
    same = _decoded(stored.data) == made
    return MapOrigin(fingerprint=fingerprint, reproduces=same, rejects=None), _fields_of(
        origins, fields, made
    )


def _fields_of(origins: list[FieldOrigin], fields: Fields, made: dict[str, Any]) -> dict[str, FieldLineage]:
    told = {o.name: FieldLineage(how=o.how, path=o.path, converted=o.converted) for o in origins}
    kept = [name for name in fields if name in made["metadata"]]
    return {**told, "metadata": FieldLineage(how="rest", names=kept)}


def _decoded(data: str) -> Any:
    """What a change by hand has stored may be deeper than anything can read."""
    try:
        return DECODE(data)
    except RecursionError:
        return None
