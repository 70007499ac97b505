"""A `RecordQuery` as one statement: the page with its records as JSON text, the total, the facets; all of one snapshot.

`storage.dataset` runs it. Its columns are those of `PageColumns`; without records there is one row that has only the first three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from kasparro.schemas.query import FACET_VALUES, FIELDS, Count, Field, RecordQuery, SearchMode
from kasparro.storage.query_fields import COLUMNS, Binder, in_range, rfc3339
from kasparro.storage.query_matches import Matches, matches_of, page_of
from kasparro.storage.query_search import SOURCES, highlights, search_of, snippets_join


class PageColumns(NamedTuple):
    """`record` is null where what is stored is no record; `keys` are its sort keys."""

    total: int | None
    facets: str | None
    sources: str | None
    id: int | None
    source: str
    record: str | None
    keys: list[str | None]


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    values: dict[str, Any]


READABLE: Final = (
    f"jsonb_typeof(p.data) = 'object' AND {in_range('p.created_at')} AND {in_range('p.updated_at')}"
)
EVERY_FIELD: Final = tuple(map(Field, FIELDS))


def page_statement(query: RecordQuery, mode: SearchMode = SearchMode.WORDS) -> Statement:
    """One record more than asked for, which says whether there is a next page."""
    binder = Binder()
    search = search_of(query, mode, binder)
    matches = matches_of(query, search, binder)
    text = f"""
        {matches.definitions}
        SELECT total.records, total.facets, total.sources, page.id, page.source, page.record, page.keys
        FROM (SELECT {_total(query, matches, binder)} AS records, {_facets(query, matches, binder)} AS facets,
                     {SOURCES if search else "NULL"} AS sources) AS total
        LEFT JOIN (
            SELECT p.id, p.source, CASE WHEN {READABLE} THEN {record_json(query, mode, binder)} END AS record, p.keys,
                   row_number() OVER () AS place
            FROM ({page_of(query, search, matches, binder)}) AS p {snippets_join() if search and search.shown else ""}
        ) AS page ON true
        ORDER BY page.place
    """
    return Statement(text, binder.values)


def estimate_statement(query: RecordQuery, mode: SearchMode) -> Statement:
    """Asks the planner how many records it expects."""
    binder = Binder()
    matches = matches_of(replace(query, sort=(), facets=()), search_of(query, mode, binder), binder)
    return Statement(f"EXPLAIN (FORMAT JSON) {matches.definitions} SELECT {matches.rows}", binder.values)


def record_statement(record_id: int) -> Statement:
    binder = Binder()
    record = record_json(RecordQuery(), SearchMode.WORDS, binder)
    text = f"""
        SELECT NULL, NULL, NULL, p.id, p.source, CASE WHEN {READABLE} THEN {record} END, NULL
        FROM normalized_data AS p WHERE p.id = {binder.bind(record_id, "bigint")}
    """
    return Statement(text, binder.values)


def counted(query: RecordQuery) -> Count:
    """How the total of a first page of *query* comes about: what commits keep count of is exact whatever was asked."""
    if query.only_source and query.count is Count.ESTIMATED:
        return Count.EXACT
    return query.count


def _total(query: RecordQuery, matches: Matches, binder: Binder) -> str:
    if query.after is not None or counted(query) is not Count.EXACT:
        return "NULL::bigint"
    if query.only_source:
        return (
            f"(SELECT coalesce(sum(record_count), 0)::bigint FROM etl_checkpoint {_of_source(query, binder)})"
        )
    return f"(SELECT count(*) {matches.rows})"


def _of_source(query: RecordQuery, binder: Binder) -> str:
    return f"WHERE source = {binder.bind(query.source, 'text')}" if query.source is not None else ""


def _facets(query: RecordQuery, matches: Matches, binder: Binder) -> str:
    if not query.facets:
        return "NULL::text"
    counts = [
        f"{binder.bind(str(facet), 'text')}, coalesce({_facet(query, facet, value, matches.rows, binder)}, '[]')"
        for facet, value in zip(query.facets, matches.facets, strict=True)
    ]
    return f"json_build_object({', '.join(counts)})::text"


def _facet(query: RecordQuery, facet: Field, value: str, rows: str, binder: Binder) -> str:
    """The most frequent values, with how many records have them."""
    if facet.name == "source" and query.only_source:
        counts = (
            f"SELECT source AS value, record_count AS count FROM etl_checkpoint {_of_source(query, binder)}"
        )
        counts = f"SELECT * FROM ({counts}) AS c WHERE count > 0"
    else:
        counts = f"SELECT {value} AS value, count(*) AS count {rows} GROUP BY 1"
    return f"""(SELECT json_agg(json_build_object('value', value, 'count', count))
        FROM (SELECT * FROM ({counts}) AS c ORDER BY count DESC, value COLLATE "C" LIMIT {FACET_VALUES}) AS f)"""


def record_json(query: RecordQuery, mode: SearchMode, binder: Binder) -> str:
    """The text of a record's JSON object, with the fields asked for."""
    pairs = [f"{_name(field, binder)}, {_json(field, binder)}" for field in query.fields or EVERY_FIELD]
    if query.search is not None and mode is SearchMode.WORDS:
        pairs.append(f"'highlight', {highlights()}")
    return f"json_build_object({', '.join(pairs)})::text"


def _name(field: Field, binder: Binder) -> str:
    return binder.bind(str(field), "text") if field.path else f"'{field.name}'"


def _json(field: Field, binder: Binder) -> str:
    if field.path:
        return f"p.data #> {binder.path(field)}"
    if field.name in {"created_at", "updated_at"}:
        return rfc3339(f"p.{field.name}")
    if field.name in COLUMNS:
        return f"p.{field.name}"
    if field.name == "metadata":
        return "coalesce(p.data->'metadata', '{}')"
    return f"p.data->'{field.name}'"
