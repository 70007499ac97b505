"""What one can ask of records: filters, sorting, facets as typed input; `query_arguments` makes a `RecordQuery` of them."""

from __future__ import annotations

from enum import Enum

import strawberry
from strawberry import UNSET

from kasparro.api.graphql.scalars import BigInt, Time, Value


@strawberry.input(
    description="All of its conditions hold. `isnull: false`: there is a value. Both ends belong to `between`."
)
class IntegerFilter:
    eq: BigInt | None = UNSET
    ne: BigInt | None = UNSET
    lt: BigInt | None = UNSET
    le: BigInt | None = UNSET
    gt: BigInt | None = UNSET
    ge: BigInt | None = UNSET
    in_: list[BigInt] | None = strawberry.field(name="in", default=UNSET)
    between: list[BigInt] | None = UNSET
    isnull: bool | None = UNSET


@strawberry.input(description="All of its conditions hold. Upper and lower case differ.")
class TextFilter:
    eq: str | None = UNSET
    ne: str | None = UNSET
    lt: str | None = UNSET
    le: str | None = UNSET
    gt: str | None = UNSET
    ge: str | None = UNSET
    in_: list[str] | None = strawberry.field(name="in", default=UNSET)
    between: list[str] | None = UNSET
    contains: str | None = UNSET
    startswith: str | None = UNSET
    isnull: bool | None = UNSET


@strawberry.input(description="All of its conditions hold.")
class TimeFilter:
    eq: Time | None = UNSET
    ne: Time | None = UNSET
    lt: Time | None = UNSET
    le: Time | None = UNSET
    gt: Time | None = UNSET
    ge: Time | None = UNSET
    in_: list[Time] | None = strawberry.field(name="in", default=UNSET)
    between: list[Time] | None = UNSET
    isnull: bool | None = UNSET


@strawberry.input(
    description="What stands at a path within metadata. Numbers are compared with numbers, texts with texts."
)
class MetadataFilter:
    path: str = strawberry.field(
        description='Like `stars` or `owner.login`; a name with dots in double quotes: `"a.b".c`'
    )
    eq: Value | None = UNSET
    ne: Value | None = UNSET
    lt: Value | None = UNSET
    le: Value | None = UNSET
    gt: Value | None = UNSET
    ge: Value | None = UNSET
    in_: list[Value] | None = strawberry.field(name="in", default=UNSET)
    between: list[Value] | None = UNSET
    contains: Value | None = UNSET
    startswith: str | None = UNSET
    isnull: bool | None = UNSET


@strawberry.input(description="All of its members hold.")
class RecordFilter:
    id: IntegerFilter | None = strawberry.field(
        name="recordId", description="The dataset's own number", default=UNSET
    )
    source: TextFilter | None = UNSET
    source_id: TextFilter | None = UNSET
    title: TextFilter | None = UNSET
    description: TextFilter | None = UNSET
    content: TextFilter | None = UNSET
    author: TextFilter | None = UNSET
    published_at: TimeFilter | None = UNSET
    url: TextFilter | None = UNSET
    category: TextFilter | None = UNSET
    metadata: list[MetadataFilter] | None = strawberry.field(description="Each of them holds", default=UNSET)
    created_at: TimeFilter | None = UNSET
    updated_at: TimeFilter | None = UNSET
    and_: list[RecordFilter] | None = strawberry.field(
        name="and", description="Every one of them holds", default=UNSET
    )
    or_: list[RecordFilter] | None = strawberry.field(
        name="or", description="At least one of them holds", default=UNSET
    )
    not_: RecordFilter | None = strawberry.field(name="not", description="It does not hold", default=UNSET)


@strawberry.enum(description="What records are sorted by.")
class SortField(Enum):
    RECORD_ID = "id"
    SOURCE = "source"
    SOURCE_ID = "source_id"
    TITLE = "title"
    DESCRIPTION = "description"
    CONTENT = "content"
    AUTHOR = "author"
    PUBLISHED_AT = "published_at"
    URL = "url"
    CATEGORY = "category"
    METADATA = "metadata"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


@strawberry.enum
class Direction(Enum):
    ASC = ""
    DESC = "-"


@strawberry.input
class RecordSort:
    field: SortField
    path: str | None = strawberry.field(description="With METADATA: where it stands there", default=None)
    direction: Direction = Direction.ASC


@strawberry.enum(description="What records are counted by.")
class FacetField(Enum):
    SOURCE = "source"
    CATEGORY = "category"
    AUTHOR = "author"
    METADATA = "metadata"


@strawberry.input
class FacetInput:
    field: FacetField
    path: str | None = strawberry.field(description="With METADATA: where it stands there", default=None)


@strawberry.enum(
    description="How records are counted; ESTIMATED asks the planner, and does not look at every record."
)
class CountMode(Enum):
    EXACT = "exact"
    ESTIMATED = "estimated"
