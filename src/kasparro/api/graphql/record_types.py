"""Records, and pages of them. Behind a record stands `StoredFields`: what PostgreSQL wrote, with its metadata as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec
import strawberry
from msgspec import Raw

from kasparro.api.graphql.context import Info
from kasparro.api.graphql.lineage_types import Lineage
from kasparro.api.graphql.node import Node, global_id, identified
from kasparro.api.graphql.operation_types import Source
from kasparro.api.graphql.query_arguments import metadata_path
from kasparro.api.graphql.scalars import BigInt, Json, Time
from kasparro.api.records import record_bytes
from kasparro.core.errors import StorageError
from kasparro.schemas.query import Count, SearchMode
from kasparro.storage.dataset import DatasetRow

if TYPE_CHECKING:
    from kasparro.api.graphql.entity_types import Entity


LazyEntity = Annotated["Entity", strawberry.lazy("kasparro.api.graphql.entity_types")]


class HighlightFields(msgspec.Struct, frozen=True):
    title: str | None = None
    description: str | None = None
    content: str | None = None


class StoredFields(msgspec.Struct, frozen=True):
    """A record of the dataset, as far as it was asked for."""

    id: int
    source: str
    source_id: str
    title: str | None = None
    description: str | None = None
    content: str | None = None
    author: str | None = None
    published_at: str | None = None
    url: str | None = None
    category: str | None = None
    metadata: Raw = Raw(b"{}")
    created_at: str | None = None
    updated_at: str | None = None
    highlight: HighlightFields | None = None


DECODER: Final = msgspec.json.Decoder(StoredFields)
OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
ARRAY: Final = msgspec.json.Decoder(list[Raw])
ALWAYS: Final = ("id", "source", "source_id")
"""What other fields are looked up by."""


def stored_fields(row: DatasetRow) -> StoredFields:
    """Raises `StorageError` when what is stored is not a record."""
    try:
        return DECODER.decode(record_bytes(row))
    except msgspec.MsgspecError as error:
        raise StorageError(f"record {row.id} of the dataset cannot be read: {error}") from error


@strawberry.type(description="One record of the dataset, whatever source it came from.")
class Record(Node):
    id: strawberry.ID = identified(lambda root: global_id("Record", root.id))
    record_id: BigInt = strawberry.field(
        resolver=lambda root: root.id, description="The dataset's own number, in order of creation"
    )
    source_name: str = strawberry.field(resolver=lambda root: root.source)
    source_id: str = strawberry.field(description="Identity within the source")
    title: str | None
    description: str | None
    content: str | None
    author: str | None
    published_at: Time | None
    url: str | None
    category: str | None
    created_at: Time
    updated_at: Time

    @strawberry.field(
        description="Every source field that no mapping took; with a path, only what stands there"
    )
    @staticmethod
    def metadata(
        root: strawberry.Parent[StoredFields],
        path: Annotated[
            str | None, strawberry.argument(description='Like `stars`, `owner.login`, `"a.b".0`')
        ] = None,
    ) -> Json | None:
        return Json(root.metadata if path is None else within(root.metadata, metadata_path("path", path)))

    @strawberry.field
    @staticmethod
    async def source(root: strawberry.Parent[StoredFields], info: Info) -> Source | None:
        return cast("Source | None", await info.context.sources.load(root.source))

    @strawberry.field(
        description="The raw record, where it was found, its run, and which of its fields became which"
    )
    @staticmethod
    async def lineage(root: strawberry.Parent[StoredFields], info: Info) -> Lineage | None:
        return cast("Lineage | None", await info.context.lineages.load(root.id))

    @strawberry.field(description="The thing that it speaks of; null: it is linked to none")
    @staticmethod
    async def entity(root: strawberry.Parent[StoredFields], info: Info) -> LazyEntity | None:
        return cast("LazyEntity | None", await info.context.entities.load(root.id))

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, StoredFields)


def within(value: Raw, path: tuple[str, ...]) -> Raw | None:
    """What stands at *path* within *value*, as it is written there."""
    for step in path:
        start = bytes(value)[:1]
        if start == b"{":
            found = OBJECT.decode(value).get(step)
        elif start == b"[" and step.isdecimal():
            items = ARRAY.decode(value)
            found = items[int(step)] if int(step) < len(items) else None
        else:
            found = None
        if found is None:
            return None
        value = found
    return value


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool = strawberry.field(description="Whether this page was asked for with `after`")
    start_cursor: str | None
    end_cursor: str | None = strawberry.field(description="The `after` of the next page")


@strawberry.type(
    description="Where the words that were searched for stand, as HTML with `<mark>` and no other markup."
)
class Highlight:
    title: str | None
    description: str | None
    content: str | None


@strawberry.type
class RecordEdge:
    cursor: str
    node: Record
    rank: float | None = strawberry.field(
        description="How well it answers the search, where records are in that order"
    )

    @strawberry.field
    @staticmethod
    def highlight(root: strawberry.Parent[RecordEdge]) -> Highlight | None:
        return root.node.highlight  # type: ignore[attr-defined]  # behind the node stand StoredFields


@strawberry.type
class FacetValue:
    value: str | None = strawberry.field(
        description="The first 100 characters; null: records without a value"
    )
    count: BigInt


@strawberry.type(description="The most frequent values of a field.")
class Facet:
    field: str
    values: list[FacetValue]


strawberry.enum(Count, name="Count", description="How `totalCount` came about.")
strawberry.enum(
    SearchMode,
    name="SearchMode",
    description="SIMILAR: no record has the words; these have titles that look like them.",
)


@strawberry.type
class RecordConnection:
    edges: list[RecordEdge]
    page_info: PageInfo
    total_count: BigInt | None = strawberry.field(
        description="Records that match, as counted for the first page; null: it was not asked for there"
    )
    count: Count
    facets: list[Facet] | None
    search_mode: SearchMode | None
    searched_sources: list[str] | None

    @strawberry.field(description="The records of the edges")
    @staticmethod
    def nodes(root: strawberry.Parent[RecordConnection]) -> list[Record]:
        return [edge.node for edge in root.edges]
