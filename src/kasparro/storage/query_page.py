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
    rows = _rows_of(query, search, binder)
    page = (
        _best_rows(query, search, binder)
        if search and query.by_rank_alone
        else _rows_in_order(query, search, rows, binder)
    )
    shown = snippets_join() if search and search.shown else ""
    text = f"""
        SELECT total.records, total.facets, total.sources, page.id, page.source, page.record, page.keys
        FROM (SELECT {_total(query, search, binder)} AS records, {_facets(query, rows, binder)} AS facets,
                     {SOURCES if search else "NULL"} AS sources) AS total
        LEFT JOIN (
            SELECT p.id, p.source, CASE WHEN {READABLE} THEN {record_json(query, mode, binder)} END AS record, p.keys,
                   row_number() OVER () AS place
            FROM ({page}) AS p {shown}
        ) AS page ON true
        ORDER BY page.place
    """
    return Statement(text, binder.values)


COLUMNS_OF_A_ROW: Final = "n.id, n.source, n.source_id, n.data, n.created_at, n.updated_at"


def _rows_in_order(query: RecordQuery, search: Search | None, rows: str, binder: Binder) -> str:
    ordering = ordering_of(query, search.rank if search else "0", binder)
    keys = ", ".join(key.as_text for key in ordering.keys)
    shown = "".join(f", {column}" for column in search.shown) if search else ""
    return f"""SELECT {COLUMNS_OF_A_ROW}, ARRAY[{keys}] AS keys{shown}
        {rows} AND {ordering.behind} ORDER BY {ordering.by} {_limit(query, binder)}"""


def _best_rows(query: RecordQuery, search: Search, binder: Binder) -> str:
    """The same where nothing is asked but words: the best hits are found first, and only those are looked up."""
    ordering = ordering_of(query, search.rank, binder, record_id="d.record_id")
    keys = ", ".join(key.as_text for key in ordering.keys)
    shown = "".join(f", {column}" for column in search.shown)
    hits = f"""SELECT d.record_id, {search.rank} AS rank, ARRAY[{keys}] AS keys{shown}
        FROM {search.hits} WHERE {ordering.behind} ORDER BY {ordering.by} {_limit(query, binder)}"""
    told = ", hit.language, hit.asked" if shown else ""
    return f"""SELECT {COLUMNS_OF_A_ROW}, hit.keys{told}
        FROM ({hits}) AS hit JOIN normalized_data AS n ON n.id = hit.record_id
        ORDER BY hit.rank DESC, hit.record_id"""


def _limit(query: RecordQuery, binder: Binder) -> str:
    return f"LIMIT {binder.bind(query.limit + 1, 'bigint')} OFFSET {binder.bind(query.offset, 'bigint')}"


def _rows_of(query: RecordQuery, search: Search | None, binder: Binder) -> str:
    """FROM and WHERE of all records that match."""
    where = where_of(query, binder)
    if search is None:
        return f"FROM normalized_data AS n WHERE {where}"
    return f"FROM normalized_data AS n, {search.hits} WHERE d.record_id = n.id AND {where}"


def _counted_rows_of(query: RecordQuery, search: Search | None, binder: Binder) -> str:
    """The same, where it does not matter what is in the records: every document has its record."""
    return f"FROM {search.hits}" if search and not query.where else _rows_of(query, search, binder)


def estimate_statement(query: RecordQuery, mode: SearchMode) -> Statement:
    """Asks the planner how many records it expects."""
    binder = Binder()
    rows = _counted_rows_of(query, search_of(query, mode, binder), binder)
    return Statement(f"EXPLAIN (FORMAT JSON) SELECT {rows}", binder.values)


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


def where_of(query: RecordQuery, binder: Binder) -> str:
    """The conditions; a single source is asked for in the way that its index is used, see `only_source`."""
    if query.source is None:
        return all_of(query.where, binder)
    source = only_source("n.source", binder.bind(query.source, "text"))
    return f"{source} AND {all_of([one for one in query.where if one != query.source_condition], binder)}"


def _total(query: RecordQuery, search: Search | None, binder: Binder) -> str:
    if query.after is not None or counted(query) is not Count.EXACT:
        return "NULL::bigint"
    if query.only_source:
        return (
            f"(SELECT coalesce(sum(record_count), 0)::bigint FROM etl_checkpoint {_of_source(query, binder)})"
        )
    return f"(SELECT count(*) {_counted_rows_of(query, search, binder)})"


def _of_source(query: RecordQuery, binder: Binder) -> str:
    return f"WHERE source = {binder.bind(query.source, 'text')}" if query.source is not None else ""


def _facets(query: RecordQuery, rows: str, binder: Binder) -> str:
    if not query.facets:
        return "NULL::text"
    counts = [
        f"{binder.bind(str(facet), 'text')}, coalesce({_facet(query, facet, rows, binder)}, '[]')"
        for facet in query.facets
    ]
    return f"json_build_object({', '.join(counts)})::text"


def _facet(query: RecordQuery, facet: Field, rows: str, binder: Binder) -> str:
    """The most frequent values, with how many records have them."""
    if facet.name == "source" and query.only_source:
        counts = (
            f"SELECT source AS value, record_count AS count FROM etl_checkpoint {_of_source(query, binder)}"
        )
        counts = f"SELECT * FROM ({counts}) AS c WHERE count > 0"
    else:
        text = plain(json_of(facet, binder)) if facet.kind is Kind.JSON else text_of(facet)
        counts = f"SELECT left({text}, {SORTED_CHARACTERS}) AS value, count(*) AS count {rows} GROUP BY 1"
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
