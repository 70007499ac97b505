"""What a record was made from, as the API tells it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from kasparro.schemas.data import Answer
from kasparro.schemas.ingest import RunStatus


class ApiPlace(Answer):
    """The request, without its secrets; which page of the run, from 1; which record of the page, from 0."""

    kind: Literal["api"]
    url: str
    page: int
    position: int


class FilePlace(Answer):
    """The file as declared; where the row stands in its decompressed bytes; its first line, from 1."""

    kind: Literal["csv"]
    file: str
    byte_start: int
    byte_end: int
    line: int


class StreamPlace(Answer):
    kind: Literal["stream"]
    stream: str
    position: int


class RawOrigin(Answer):
    """The raw record that a record was made from."""

    id: int
    external_id: str
    ingested_at: AwareDatetime
    payload_hash: str = Field(
        description="128 bits of BLAKE2b over the payload, without what `ignore_changes` names, in hex"
    )
    processed: bool = Field(
        description="false: this version was rejected, and the dataset keeps the one before"
    )
    place: Annotated[ApiPlace | FilePlace | StreamPlace, Field(discriminator="kind")]
    href: str = Field(description="Where the payload is, as received")


class RunOrigin(Answer):
    """The run that brought the raw record."""

    run_id: str
    status: RunStatus
    start_time: AwareDatetime
    end_time: AwareDatetime | None
    duration_ms: int | None


class MapOrigin(Answer):
    """The map that is declared now."""

    fingerprint: str = Field(
        description="16 hex digits over the declared map; another map, another fingerprint"
    )
    reproduces: bool = Field(
        description="Whether this map makes the stored record of the raw one; if not, `kasparro normalize` would change it"
    )
    rejects: str | None = Field(description="Why this map would reject the raw record")


class FieldLineage(Answer):
    how: Literal["path", "default", "constant", "nothing", "rest"] = Field(
        description="`path`: the value found at `path`; `rest`: what no other field took whole"
    )
    path: str | None = Field(None, description="A field path or JMESPath expression within the raw record")
    converted: bool = Field(False, description="The value is not as it was found")
    names: list[str] | None = Field(
        None, description="Of `metadata`: the fields of the raw record that it holds"
    )


class Lineage(Answer):
    """What a record was made from."""

    id: int
    source: str
    source_id: str
    declared: bool = Field(
        description="false: the source is no longer declared, so `map` and `fields` cannot be told"
    )
    version: int = Field(description="The source's dataset version at which the record last changed")
    raw: RawOrigin | None = Field(description="null: the raw record is gone")
    run: RunOrigin | None
    map: MapOrigin | None
    fields: dict[str, FieldLineage] | None
