"""The fields at the root: what can be asked, and what can be followed.

A value of `schemas`, or of a page, stands behind each object that is answered; its type says which of that is told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, cast

import strawberry
from strawberry import argument

from kasparro.api.graphql.changes import (
    RecordChange,
    RecordChanges,
    begin,
    first_changes,
    follow,
    followed,
    page_of_changes,
)
from kasparro.api.graphql.connections import check_first, check_source
from kasparro.api.graphql.context import Info
from kasparro.api.graphql.drift_page import DriftConnection, page_of_drifts
from kasparro.api.graphql.entities_page import EntityConnection, entity_of, page_of_entities
from kasparro.api.graphql.entity_types import Entity
from kasparro.api.graphql.inputs import CountMode, FacetInput, RecordFilter, RecordSort
from kasparro.api.graphql.node import Node, parse_global_id
from kasparro.api.graphql.operation_types import Checkpoint, Run, Source, Stats
from kasparro.api.graphql.query_arguments import RecordArguments
from kasparro.api.graphql.record_pages import page_of, record_fields
from kasparro.api.graphql.record_types import Record, RecordConnection, stored_fields
from kasparro.api.graphql.runs_page import RunConnection, page_of_runs
from kasparro.api.graphql.selection import selected
from kasparro.api.operation import find_run, list_of_sources
from kasparro.core.errors import InvalidParameter
from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.query import INT64_MAX
from kasparro.services.change_text import MOST_CHANGES

First = Annotated[int, argument(description="Most of them, 1 to 100")]
After = Annotated[str | None, argument(description="A cursor of the same question: go on behind it")]
OnlySource = Annotated[str | None, argument(description="Only of this source")]
Filter = Annotated[RecordFilter | None, argument(description="Only records that meet all of it")]
Sort = Annotated[
    list[RecordSort] | None, argument(description="By the first of them, then by the next; at most four")
]
Facets = Annotated[
    list[FacetInput] | None, argument(description="Count all that match by these; at most four")
]
Counted = Annotated[CountMode, argument(description="How `totalCount` is found, where it is asked for")]
Since = Annotated[
    str | None,
    argument(
        description='A cursor of the same question, or "now"; left out: everything there is, then what comes'
    ),
]

Matched = Annotated[bool, argument(description="Only those of which more than one record speaks")]
Conflicts = Annotated[bool, argument(description="Only those of records that match more than one")]

LONGEST_ID = 19


@strawberry.type
class Query:
    @strawberry.field(description="What a global id names, if it is there")
    @staticmethod
    async def node(info: Info, id: strawberry.ID) -> Node | None:  # noqa: A002  # the name is Relay's
        kind, key = parse_global_id("id", id)
        match kind:
            case "Record":
                return await _record(info, key)
            case "Run":
                return await _run(info, key)
            case "Source":
                return cast("Node | None", await info.context.sources.load(key))
            case "Entity":
                return cast("Node | None", await entity_of(info, id))
            case _:
                raise InvalidParameter(
                    "id", "is no id of this server", hint="Send one that an `id` field answered"
                )

    @strawberry.field(description="One record, by its global id or by the dataset's own number")
    @staticmethod
    async def record(info: Info, id: strawberry.ID) -> Record | None:  # noqa: A002  # the name is part of the API
        kind, key = ("Record", str(id)) if id.isdecimal() else parse_global_id("id", id)
        if kind != "Record":
            raise InvalidParameter("id", f"is the id of a {kind}")
        return await _record(info, key)

    @strawberry.field(description="Records that meet every condition, in the order asked for; forward only")
    @staticmethod
    async def records(
        info: Info,
        first: First = 10,
        after: After = None,
        source: OnlySource = None,
        filter: Filter = None,  # noqa: A002  # the name is part of the API
        sort: Sort = None,
        facets: Facets = None,
        count: Counted = CountMode.EXACT,
    ) -> RecordConnection:
        asked = RecordArguments(
            first, after, source, filter, sort=sort or (), facets=facets or (), count=count
        )
        return await page_of(info, asked)

    @strawberry.field(
        description="Records with all the words, the best first; where there is none, those whose title looks like them"
    )
    @staticmethod
    async def search(
        info: Info,
        query: Annotated[str, argument(description='Words, "a phrase", -without, one or other')],
        first: First = 10,
        after: After = None,
        filter: Filter = None,  # noqa: A002  # the name is part of the API
        sort: Sort = None,
        facets: Facets = None,
        count: Counted = CountMode.EXACT,
    ) -> RecordConnection:
        asked = RecordArguments(
            first, after, None, filter, query, sort=sort or (), facets=facets or (), count=count
        )
        return await page_of(info, asked)

    @strawberry.field(
        description="A thing that records speak of, by its global id or `entityId`; an id that was merged leads to the other"
    )
    @staticmethod
    async def entity(info: Info, id: strawberry.ID) -> Entity | None:  # noqa: A002  # the name is part of the API
        return cast("Entity | None", await entity_of(info, id))

    @strawberry.field(description="The things that records speak of, in the order in which they were made")
    @staticmethod
    async def entities(
        info: Info,
        first: First = 10,
        after: After = None,
        matched: Matched = False,  # noqa: FBT002  # an argument of the API
        conflicts: Conflicts = False,  # noqa: FBT002  # likewise
    ) -> EntityConnection:
        return await page_of_entities(info, first, after, matched=matched, conflicts=conflicts)

    @strawberry.field(description="What is new and changed since a position, in commit order of each source")
    @staticmethod
    async def record_changes(
        info: Info,
        since: Since = None,
        source: OnlySource = None,
        filter: Filter = None,  # noqa: A002  # the name is part of the API
        first: Annotated[int, argument(description="Most changes, 1 to 1000")] = 100,
    ) -> RecordChanges:
        check_first(first, MOST_CHANGES)
        fields = record_fields(selected(info, "changes", "record"))
        asked = followed(since, source, filter, fields, first)
        return page_of_changes(asked.query, await first_changes(info.context, asked))

    @strawberry.field(
        description="Declared sources in the order of the catalog, then those that only have data"
    )
    @staticmethod
    async def sources(info: Info) -> list[Source]:
        return cast(
            "list[Source]",
            await info.context.ask(lambda: list_of_sources(info.context.runtime, info.context.records)),
        )

    @strawberry.field
    @staticmethod
    async def source(info: Info, name: str) -> Source | None:
        return cast("Source | None", await info.context.sources.load(name))

    @strawberry.field(description="Runs that have begun, the latest first")
    @staticmethod
    async def runs(
        info: Info,
        first: First = 10,
        after: After = None,
        source: OnlySource = None,
        status: RunStatus | None = None,
    ) -> RunConnection:
        return await page_of_runs(info, first, after, source, status)

    @strawberry.field(
        description="How the records of sources differ from what they looked like, the latest first"
    )
    @staticmethod
    async def drifts(
        info: Info, first: First = 10, after: After = None, source: OnlySource = None
    ) -> DriftConnection:
        return await page_of_drifts(info, first, after, source)

    @strawberry.field(description="A run, by its `runId`; one that waits for a worker is in progress")
    @staticmethod
    async def run(info: Info, run_id: str) -> Run | None:
        return await _run(info, run_id)

    @strawberry.field(description="Totals of all time, of one source or of all")
    @staticmethod
    async def stats(info: Info, source: OnlySource = None) -> Stats:
        check_source(source)
        return cast("Stats", await info.context.ask(lambda: info.context.runtime.history.stats(1, source)))

    @strawberry.field(description="Where each source stands")
    @staticmethod
    async def checkpoints(info: Info) -> list[Checkpoint]:
        return cast("list[Checkpoint]", await info.context.ask(info.context.runtime.checkpoints.all))


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="New and changed records in commit order of each source, as they come; none is left out, none comes twice"
    )
    @staticmethod
    async def record_changes(
        info: Info,
        since: Since = None,
        source: OnlySource = None,
        filter: Filter = None,  # noqa: A002  # the name is part of the API
    ) -> AsyncGenerator[RecordChange, None]:
        fields = record_fields(selected(info, "record"))
        asked = followed(since, source, filter, fields)
        return follow(info.context, asked, await begin(info.context, asked))


async def _record(info: Info, key: str) -> Any:
    if not (key.isdecimal() and key.isascii() and len(key) <= LONGEST_ID and 1 <= int(key) <= INT64_MAX):
        raise InvalidParameter("id", "the number of a record is a whole number of at most 64 bits, from 1")
    row = await info.context.ask(lambda: info.context.runtime.dataset.record(int(key)))
    return None if row is None else stored_fields(row)


async def _run(info: Info, run_id: str) -> Any:
    if "\0" in run_id:
        raise InvalidParameter("runId", "no id contains a NUL character")
    return await info.context.ask(lambda: find_run(info.context.runtime, run_id))
