"""What a source's records would become: raw and normalised side by side. Writes nothing, needs no database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.prepare import Recipe
from kasparro.schemas.ingest import Cursor, Notice, Page, RawRecord, Reject


@dataclass(frozen=True, slots=True)
class Preview:
    """A record as received, and what it would become: the JSON text of a DataRecord, or a reject."""

    raw: bytes
    record: bytes | None
    reject: Reject | None


@dataclass(frozen=True, slots=True)
class FirstPage:
    """What the first page of a source holds; `total` as the source tells, `cursor` what the next page is asked for with,
    `notices` what was found out on the way.
    """

    records: int
    rejects: int
    size: int
    total: int | None
    more: bool
    cursor: Cursor | None
    notices: Sequence[Notice]
    previews: list[Preview]


async def preview(
    declaration: SourceDeclaration, limit: int, facilities: Facilities | None = None
) -> list[Preview]:
    """The first *limit* records. Raises the `SourceError` family."""
    recipe = Recipe.of(declaration)
    found: list[Preview] = []
    async with aclosing(open_source(declaration, limit, facilities).pages(None)) as pages:
        async for page in pages:
            found += _previews(recipe, page)
            if len(found) >= limit:
                break
    return found[:limit]


async def first_page(
    declaration: SourceDeclaration,
    page_size: int = 100,
    source: Source | None = None,
    facilities: Facilities | None = None,
) -> FirstPage:
    """Fetch one page, of *source* where it is open already, and look at it. Raises the `SourceError` family."""
    opened = source or open_source(declaration, page_size, facilities)
    async with aclosing(opened.pages(None)) as pages:
        page = await anext(pages)
    return FirstPage(
        records=len(page.records),
        rejects=len(page.rejects),
        size=page.size,
        total=page.total,
        more=page.cursor is not None and not page.last,
        cursor=page.cursor,
        notices=page.notices,
        previews=_previews(Recipe.of(declaration), page),
    )


def _previews(recipe: Recipe, page: Page) -> list[Preview]:
    rejected = [Preview(reject.payload, None, reject) for reject in page.rejects]
    return [*(_preview(recipe, raw) for raw in page.records), *rejected]


def _preview(recipe: Recipe, raw: RawRecord) -> Preview:
    [keyed] = recipe.identify([raw])
    [outcome] = [keyed] if isinstance(keyed, Reject) else recipe.normalise([keyed])
    if isinstance(outcome, Reject):
        return Preview(raw.payload, None, outcome)
    return Preview(raw.payload, outcome.data, None)
