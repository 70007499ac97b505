"""The records that match a `RecordQuery`, as SQL: what is counted, what facets are counted of, and the records of the page.

`query_page` makes one statement of them. Without a search they are rows of the dataset. With one they are `hits`, found and
ranked once: total, facets and page read what was found, and not the documents again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kasparro.schemas.query import SORTED_CHARACTERS, Field, Kind, RecordQuery
from kasparro.storage.query_conditions import all_of
from kasparro.storage.query_fields import Binder, json_of, plain, text_of
from kasparro.storage.query_order import Key, keys_of, ordering_by, ordering_of
from kasparro.storage.query_search import Search
from kasparro.storage.reading import only_source

COLUMNS_OF_A_ROW: Final = "n.id, n.source, n.source_id, n.data, n.created_at, n.updated_at"


@dataclass(frozen=True, slots=True)
class Matches:
    """`rows` is FROM and WHERE of all that match, `keys` are what they are sorted by, `facets` what of them is counted by value.

    `definitions` come before the statement.
    """

    rows: str
    keys: Sequence[Key]
    facets: Sequence[str]
    definitions: str = ""


def matches_of(query: RecordQuery, search: Search | None, binder: Binder) -> Matches:
    keys, facets = keys_of(query, binder), [_counted(facet, binder) for facet in query.facets]
    if search is None:
        return Matches(f"FROM normalized_data AS n WHERE {where_of(query, binder)}", keys, facets)
    held = [f"{key.expression} AS k{n}" for n, key in enumerate(keys)]
    held += [f"{value} AS f{n}" for n, value in enumerate(facets)]
    # OFFSET 0: what is computed of a hit is computed once, wherever it is read.
    hits = f"""SELECT n.id, n.language, {", ".join(held)} FROM ({search.documents}) AS n
        WHERE {all_of(query.where, binder)} OFFSET 0"""
    return Matches(
        "FROM hits AS h",
        [replace(key, expression=f"h.k{n}") for n, key in enumerate(keys)],
        [f"h.f{n}" for n in range(len(facets))],
        f"WITH {search.asked}hits AS ({hits})",
    )


def page_of(query: RecordQuery, search: Search | None, matches: Matches, binder: Binder) -> str:
    """Selects the records of the page in their order, with their sort `keys`."""
    limit = f"LIMIT {binder.bind(query.limit + 1, 'bigint')} OFFSET {binder.bind(query.offset, 'bigint')}"
    if search is None:
        ordering = ordering_of(query, matches.keys, binder)
        return f"""SELECT {COLUMNS_OF_A_ROW}, {ordering.keys_as_text} AS keys
            {matches.rows} AND {ordering.behind} ORDER BY {ordering.by} {limit}"""
    ordering = ordering_by(matches.keys, query, binder)
    best = f"""SELECT h.*, {ordering.keys_as_text} AS keys {matches.rows}
        WHERE {ordering.behind} ORDER BY {ordering.by} {limit}"""
    return f"""SELECT {COLUMNS_OF_A_ROW}, h.keys{search.shown}
        FROM ({best}) AS h JOIN normalized_data AS n ON n.id = h.id {search.asked_of_hits} ORDER BY {ordering.by}"""


def where_of(query: RecordQuery, binder: Binder) -> str:
    """The conditions; a single source is asked for in the way that its index is used, see `only_source`."""
    if query.source is None:
        return all_of(query.where, binder)
    source = only_source("n.source", binder.bind(query.source, "text"))
    return f"{source} AND {all_of([one for one in query.where if one != query.source_condition], binder)}"


def _counted(facet: Field, binder: Binder) -> str:
    text = plain(json_of(facet, binder)) if facet.kind is Kind.JSON else text_of(facet)
    return f"left({text}, {SORTED_CHARACTERS})"
