"""`kasparro entities`: the things that records speak of, and deciding which speaks of which."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, textual
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.database import Database, database_url
from kasparro.core.errors import ConfigurationError, NotFound
from kasparro.schemas.entities import EntityRecord, EntityView
from kasparro.storage.entities.deciding import EntityDecisions
from kasparro.storage.entities.reading import Entities, EntityFilter

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = [*textual("entity"), *numeric("records"), *textual("sources", "title", "conflict")]
RECORD_COLUMNS = [
    *textual("record", "title", "method"),
    *numeric("confidence"),
    *textual("decided by", "decided (UTC)"),
]
MOST = 1_000

EntityId = Annotated[str, typer.Argument(metavar="ID", help="The entity, as `entities list` names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def entities() -> None:
    """The things that records speak of, and deciding which speaks of which."""


@app.command("list")
def list_entities(
    context: typer.Context,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Only those of records that match more than one.")
    ] = False,
    matched: Annotated[
        bool, typer.Option("--matched", help="Only those of which more than one record speaks.")
    ] = False,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Those behind this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="The first so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List entities in the order in which they were made."""
    settings = begin(context)
    if after is not None and not Entities.is_id(after):
        raise ConfigurationError(f"--after {after!r} is not the id of an entity")
    with database_url(settings) as url:
        found = asyncio.run(_page(settings, url, limit, EntityFilter(matched, conflicts, after)))
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(entity) for entity in found])


@app.command()
def show(
    context: typer.Context,
    named: Annotated[
        str, typer.Argument(metavar="ID", help="The entity; or SOURCE:SOURCE_ID, a record that speaks of it.")
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="Its first so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show an entity and its records; one that was merged is shown as the one it was merged into."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_one(settings, url, named, limit))
    if found is None:
        raise NotFound(f"there is no entity {named!r}", hint="List them: kasparro entities list")
    _print(found, as_json=as_json)


@app.command()
def merge(
    context: typer.Context,
    into: Annotated[str, typer.Argument(metavar="A", help="The entity that stays.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The one that is the same thing.")],
    as_json: AsJson = False,
) -> None:
    """Decide that two entities are one: the records of B go to A, and the id of B leads there."""
    settings = begin(context)
    with database_url(settings) as url:
        _print(asyncio.run(_merge(settings, url, into, other)), as_json=as_json)


@app.command()
def split(
    context: typer.Context,
    entity_id: EntityId,
    records: Annotated[
        list[str], typer.Argument(metavar="SOURCE:SOURCE_ID...", help="Records of it that speak of another.")
    ],
    as_json: AsJson = False,
) -> None:
    """Decide that records of an entity speak of another, together. All of them: that it is theirs."""
    settings = begin(context)
    named = [_record(text) for text in records]
    with database_url(settings) as url:
        _print(asyncio.run(_split(settings, url, entity_id, named)), as_json=as_json)


def _record(text: str) -> tuple[str, str]:
    source, colon, source_id = text.partition(":")
    if not (source and colon and source_id):
        raise ConfigurationError(
            f"{text!r} names no record", hint="Write the source, a colon and its source_id"
        )
    return source, source_id


async def _page(settings: Settings, url: str, limit: int, which: EntityFilter) -> list[EntityView]:
    async with migrated(settings, url) as database:
        return await Entities(database).page(limit, which)


async def _one(settings: Settings, url: str, named: str, limit: int) -> EntityView | None:
    async with migrated(settings, url) as database:
        known = Entities(database)
        if ":" not in named:
            return await known.one(named, limit)
        entity = await known.of_record(*_record(named))
        if entity is None:
            raise NotFound(
                f"record {named} is linked to no entity",
                hint="Records are where their source declares `entity`; those from before: kasparro normalize SOURCE",
            )
        return await known.one(entity, limit)


async def _merge(settings: Settings, url: str, into: str, other: str) -> EntityView:
    async with migrated(settings, url) as database:
        stays = await EntityDecisions(database).merge(into, other)
        return await _shown(database, stays)


async def _split(settings: Settings, url: str, entity_id: str, records: list[tuple[str, str]]) -> EntityView:
    async with migrated(settings, url) as database:
        new = await EntityDecisions(database).split(entity_id, records)
        return await _shown(database, new)


async def _shown(database: Database, entity_id: str) -> EntityView:
    found = await Entities(database).one(entity_id)
    assert found is not None  # noqa: S101  # an entity is never deleted
    return found


def _print(entity: EntityView, *, as_json: bool) -> None:
    if as_json:
        print_json(entity)
        return
    print_line(f"entity {entity.id}: {entity.record_count:,} records")
    print_table(RECORD_COLUMNS, [_record_row(record) for record in entity.records])
    for record in entity.records:
        for rule, others in (record.conflict or {}).items():
            print_line(f"{record.source}:{record.source_id}: {rule} leads to {', '.join(others)}")


def _row(entity: EntityView) -> list[object]:
    conflicts = [record.conflict for record in entity.records if record.conflict]
    led = [f"{rule}: {', '.join(others)}" for conflict in conflicts for rule, others in conflict.items()]
    title = next((record.title for record in entity.records if record.title), None)
    sources = ", ".join(sorted({record.source for record in entity.records}))
    return [entity.id, entity.record_count, sources, title, "; ".join(led) or None]


def _record_row(record: EntityRecord) -> list[object]:
    name = f"{record.source}:{record.source_id}"
    return [name, record.title, record.method, record.confidence, record.decided_by, record.decided_at]
