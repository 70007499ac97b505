"""A `RecordQuery` as one statement: the page with its records as JSON text, the total, the facets; all of one snapshot.

`storage.dataset` runs it. Its columns are those of `PageColumns`; without records there is one row that has only the first three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kasparro.schemas.query import (
    FACET_VALUES,
    FIELDS,
    SORTED_CHARACTERS,
    Count,
    Field,
    Kind,
    RecordQuery,
    SearchMode,
)
from kasparro.storage.query_conditions import all_of
from kasparro.storage.query_fields import COLUMNS, Binder, in_range, json_of, plain, rfc3339, text_of
from kasparro.storage.query_order import ordering_of
from kasparro.storage.query_search import SOURCES, Search, highlights, search_of, snippets_join
from kasparro.storage.reading import only_source


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
    ordering = ordering_of(query, search.rank, binder)
    where = _where(query, binder)
    keys = ", ".join(key.as_text for key in ordering.keys)
    text = f"""
        SELECT total.records, total.facets, total.sources, page.id, page.source, page.record, page.keys
        FROM (SELECT {_total(query, search, where, binder)} AS records, {_facets(query, search, where, binder)} AS facets,
                     {SOURCES if query.search is not None else "NULL"} AS sources) AS total
        LEFT JOIN (
            SELECT p.id, p.source, CASE WHEN {READABLE} THEN {_record(query, mode, binder)} END AS record, p.keys,
                   row_number() OVER () AS place
            FROM (
                SELECT n.id, n.source, n.source_id, n.data, n.created_at, n.updated_at, ARRAY[{keys}] AS keys{search.columns}
                FROM normalized_data AS n {search.joins}
                WHERE {where} AND {ordering.behind}
                ORDER BY {ordering.by} LIMIT {binder.bind(query.limit + 1, "bigint")} OFFSET {binder.bind(query.offset, "bigint")}
            ) AS p {snippets_join() if search.columns else ""}
        ) AS page ON true
        ORDER BY page.place
    """
    return Statement(text, binder.values)


def estimate_statement(query: RecordQuery, mode: SearchMode) -> Statement:
    """Asks the planner how many records it expects."""
    binder = Binder()
    search = search_of(query, mode, binder)
    text = (
        f"EXPLAIN (FORMAT JSON) SELECT FROM normalized_data AS n {search.joins} WHERE {_where(query, binder)}"
    )
    return Statement(text, binder.values)


def record_statement(record_id: int) -> Statement:
    binder = Binder()
    record = _record(RecordQuery(), SearchMode.WORDS, binder)
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


def _where(query: RecordQuery, binder: Binder) -> str:
    """The conditions; a single source is asked for in the way that its index is used, see `only_source`."""
    if query.source is None:
        return all_of(query.where, binder)
    source = only_source("n.source", binder.bind(query.source, "text"))
    return f"{source} AND {all_of([one for one in query.where if one != query.source_condition], binder)}"


def _total(query: RecordQuery, search: Search, where: str, binder: Binder) -> str:
    if query.after is not None or counted(query) is not Count.EXACT:
        return "NULL::bigint"
    if query.only_source:
        return (
            f"(SELECT coalesce(sum(record_count), 0)::bigint FROM etl_checkpoint {_of_source(query, binder)})"
        )
    return f"(SELECT count(*) FROM normalized_data AS n {search.joins} WHERE {where})"


def _of_source(query: RecordQuery, binder: Binder) -> str:
    return f"WHERE source = {binder.bind(query.source, 'text')}" if query.source is not None else ""


def _facets(query: RecordQuery, search: Search, where: str, binder: Binder) -> str:
    if not query.facets:
        return "NULL::text"
    counts = [
        f"{binder.bind(str(facet), 'text')}, coalesce({_facet(query, facet, search, where, binder)}, '[]')"
        for facet in query.facets
    ]
    return f"json_build_object({', '.join(counts)})::text"


def _facet(query: RecordQuery, facet: Field, search: Search, where: str, binder: Binder) -> str:
    """The most frequent values, with how many records have them."""
    if facet.name == "source" and query.only_source:
        counts = (
            f"SELECT source AS value, record_count AS count FROM etl_checkpoint {_of_source(query, binder)}"
        )
        counts = f"SELECT * FROM ({counts}) AS c WHERE count > 0"
    else:
        text = plain(json_of(facet, binder)) if facet.kind is Kind.JSON else text_of(facet)
        counts = f"""SELECT left({text}, {SORTED_CHARACTERS}) AS value, count(*) AS count
            FROM normalized_data AS n {search.joins} WHERE {where} GROUP BY 1"""
    return f"""(SELECT json_agg(json_build_object('value', value, 'count', count))
        FROM ({counts} ORDER BY 2 DESC, 1 LIMIT {FACET_VALUES}) AS f)"""


def _record(query: RecordQuery, mode: SearchMode, binder: Binder) -> str:
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
