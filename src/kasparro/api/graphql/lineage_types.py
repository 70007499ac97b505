"""What a record was made from. What stands behind each type is a value of `schemas.lineage`."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from kasparro.api.graphql.scalars import BigInt, Time
from kasparro.schemas import lineage
from kasparro.schemas.ingest import RunStatus


@strawberry.type(
    description="The request, without its secrets; which page of the run, from 1; which record of it, from 0."
)
class ApiPlace:
    url: str
    page: BigInt
    position: BigInt

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, lineage.ApiPlace)


@strawberry.type(
    description="The file as declared; where the row stands in its decompressed bytes; its first line, from 1."
)
class FilePlace:
    file: str
    byte_start: BigInt
    byte_end: BigInt
    line: BigInt

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, lineage.FilePlace)


@strawberry.type
class StreamPlace:
    stream: str
    position: BigInt

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, lineage.StreamPlace)


Place = Annotated[ApiPlace | FilePlace | StreamPlace, strawberry.union("Place")]


@strawberry.type(description="The raw record that a record was made from.")
class RawOrigin:
    raw_id: BigInt = strawberry.field(resolver=lambda root: root.id)
    external_id: str
    ingested_at: Time
    payload_hash: str = strawberry.field(description="128 bits of BLAKE2b over the payload, in hex")
    processed: bool = strawberry.field(
        description="false: this version was rejected, and the dataset keeps the one before"
    )
    place: Place
    href: str = strawberry.field(description="Where the payload is, as received")


@strawberry.type(description="The run that brought the raw record.")
class RunOrigin:
    run_id: str
    status: RunStatus
    start_time: Time
    end_time: Time | None
    duration_ms: BigInt | None


@strawberry.type(description="The map that is declared now.")
class MapOrigin:
    fingerprint: str
    reproduces: bool = strawberry.field(description="Whether this map makes the stored record of the raw one")
    rejects: str | None = strawberry.field(description="Why this map would reject the raw record")


@strawberry.type(description="Where the value of one field comes from.")
class FieldLineage:
    field: str
    how: str = strawberry.field(
        description="`path`, `default`, `constant`, `nothing`, or `rest`: what no other field took whole"
    )
    path: str | None
    converted: bool = strawberry.field(description="The value is not as it was found")
    names: list[str] | None = strawberry.field(
        description="Of metadata: the fields of the raw record that it holds"
    )


@strawberry.type(description="What a record was made from.")
class Lineage:
    declared: bool = strawberry.field(description="false: the source is no longer declared")
    version: BigInt = strawberry.field(description="The dataset version at which the record last changed")
    raw: RawOrigin | None = strawberry.field(description="null: the raw record is gone")
    run: RunOrigin | None
    map: MapOrigin | None

    @strawberry.field
    @staticmethod
    def fields(root: strawberry.Parent[lineage.Lineage]) -> list[FieldLineage] | None:
        if root.fields is None:
            return None
        return [
            FieldLineage(field=name, how=one.how, path=one.path, converted=one.converted, names=one.names)
            for name, one in root.fields.items()
        ]
