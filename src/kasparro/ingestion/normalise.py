"""The pure step: identified raw records in, the JSON texts of their DataRecords out, or rejects. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.ingestion.column_mapping import ColumnNormaliser
from kasparro.ingestion.columns import piecewise
from kasparro.ingestion.mapping import Mapped, mapper
from kasparro.ingestion.object_mapping import ObjectNormaliser
from kasparro.ingestion.values import Fields, Unfit, check_cells, check_storable, encode, fields_decoder
from kasparro.schemas.data import DataRecord
from kasparro.schemas.ingest import Keyed, Landed, Reject, RejectReason

Normalise = Callable[[Sequence[Keyed]], list[Landed | Reject]]


validate = DataRecord.__pydantic_validator__.validate_python


def normaliser(declaration: SourceDeclaration) -> Normalise:
    """Compile how the records of a source become records of the dataset."""
    one = one_by_one(declaration)
    together = (
        ColumnNormaliser(declaration) if isinstance(declaration, CsvSource) else ObjectNormaliser(declaration)
    )

    def many(keyed: Sequence[Keyed]) -> list[Landed | Reject] | None:
        texts = together(keyed)
        return None if texts is None else list(map(Landed, keyed, texts))

    return lambda keyed: piecewise(many, one, keyed)


def one_by_one(declaration: SourceDeclaration) -> Callable[[Keyed], Landed | Reject]:
    """Compile the same for a single record, whatever is in it."""
    split = fields_reader(declaration)
    apply = mapper(declaration)
    check = check_cells if isinstance(declaration, CsvSource) else check_storable

    def normalise(keyed: Keyed) -> Landed | Reject:
        try:
            check(keyed.raw.payload)
            fields = split(keyed.raw.payload)
            mapped = apply(fields)
            return Landed(keyed, data_text(declaration.name, keyed.external_id, mapped, fields))
        except Unfit as unfit:
            return reject(keyed, unfit)

    return normalise


def fields_reader(declaration: SourceDeclaration) -> Callable[[bytes], Fields]:
    """Split a record into fields; in a CSV source, cells that mean "no value" become null."""
    if not isinstance(declaration, CsvSource):
        return fields_decoder(cells=False)
    nulls = frozenset(declaration.null_values)
    split = fields_decoder(cells=True)

    def cells(payload: bytes) -> Fields:
        return {name: None if cell in nulls else cell for name, cell in split(payload).items()}

    return cells


def data_text(source: str, source_id: str, mapped: Mapped, fields: Fields) -> bytes:
    """Validate, and write the DataRecord as JSON. What no mapping took goes to metadata byte for byte."""
    metadata = {name: value for name, value in fields.items() if name not in mapped.taken}
    values = {"source": source, "source_id": source_id, **mapped.values, "metadata": metadata}
    try:
        validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise Unfit(RejectReason.INVALID_VALUE, first["msg"].removeprefix("Value error, "), field) from None
    return encode(values)


def reject(keyed: Keyed, unfit: Unfit) -> Reject:
    return Reject(
        payload=keyed.raw.payload,
        origin=keyed.raw.origin,
        reason=unfit.reason,
        message=unfit.message,
        field=unfit.field,
        external_id=keyed.external_id,
    )
