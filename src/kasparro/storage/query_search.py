"""Full-text search as SQL: which records answer it, how well, and where the words stand in them.

`record_search` holds the words of each record of the sources that declare `search`; `search_documents` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasparro.schemas.query import RecordQuery, SearchMode
from kasparro.storage.query_fields import Binder

WORDS: Final = """record_search AS d
    JOIN (
        SELECT language, websearch_to_tsquery(language::regconfig, {text}) AS asked
        FROM (SELECT DISTINCT search_language AS language FROM etl_checkpoint WHERE search_language IS NOT NULL) AS spoken
    ) AS w ON w.language = d.language AND d.vector @@ w.asked
"""
"""A query is parsed in each language there is, and found among the records of that language."""

SIMILAR: Final = "(SELECT record_id, title FROM record_search WHERE {text} <%% title) AS d"

LIKENESS: Final = "SELECT set_config('pg_trgm.word_similarity_threshold', '0.4', true)"
"""How alike words must be, from 0 to 1, for the rest of a transaction: one letter in seven is a typo (`aiports`)."""

SOURCES: Final = (
    "(SELECT json_agg(source ORDER BY source)::text FROM etl_checkpoint WHERE search_language IS NOT NULL)"
)

SHOWN: Final = 20_000
"""Characters of a text in which words are looked for to show them."""
START: Final = r"E'\x02'"
STOP: Final = r"E'\x03'"
WHOLE: Final = r"""E'HighlightAll=true, StartSel="\x02", StopSel="\x03"'"""
PARTS: Final = r"""E'MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … ", StartSel="\x02", StopSel="\x03"'"""
SNIPPETS: Final = {"title": WHOLE, "description": PARTS, "content": PARTS}


@dataclass(frozen=True, slots=True)
class Search:
    """The documents that answer a query: `hits` is what to select them from, as `d`; `rank` and `shown` are theirs."""

    hits: str
    rank: str
    shown: tuple[str, ...] = ()


def search_of(query: RecordQuery, mode: SearchMode, binder: Binder) -> Search | None:
    if query.search is None:
        return None
    text = binder.bind(query.search, "text")
    if mode is SearchMode.SIMILAR:
        return Search(SIMILAR.format(text=text), f"word_similarity({text}, d.title)")
    return Search(WORDS.format(text=text), "ts_rank(d.vector, w.asked)", ("w.language", "w.asked"))


def snippets_join() -> str:
    """The snippets of the row `p`, each made once."""
    made = ", ".join(f"{_snippet(field, how)} AS {field}" for field, how in SNIPPETS.items())
    return f"CROSS JOIN LATERAL (SELECT {made} OFFSET 0) AS h"


def highlights() -> str:
    """The fields with a hit, as a JSON object: HTML in which nothing is markup but our own `<mark>`."""
    marked = ", ".join(f"'{field}', {_marked(f'h.{field}')}" for field in SNIPPETS)
    return f"jsonb_strip_nulls(jsonb_build_object({marked}))"


def _snippet(field: str, how: str) -> str:
    text = rf"translate(left(p.data->>'{field}', {SHOWN}), E'\x02\x03', '')"
    return f"ts_headline(p.language::regconfig, {text}, p.asked, {how})"


def _marked(snippet: str) -> str:
    """The marks are put in last: what the record itself has of markup is text by then."""
    escaped = snippet
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("''", "&#39;")):
        escaped = f"replace({escaped}, '{character}', '{entity}')"
    marked = f"replace(replace({escaped}, {START}, '<mark>'), {STOP}, '</mark>')"
    return f"CASE WHEN strpos({snippet}, {START}) > 0 THEN {marked} END"
