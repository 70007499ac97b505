"""Full-text search as SQL: which records answer it, how well, and where the words stand in them.

`record_search` holds the words of each record of the sources that declare `search`; `search_documents` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasparro.schemas.query import RecordQuery, SearchMode
from kasparro.storage.query_fields import Binder

ASKED: Final = """asked AS (
    SELECT language, websearch_to_tsquery(language::regconfig, {text}) AS asked
    FROM (SELECT DISTINCT search_language AS language FROM etl_checkpoint WHERE search_language IS NOT NULL) AS spoken
), """
"""A query is parsed in each language there is, and found among the records of that language."""

DOCUMENTS: Final = """
    SELECT d.record_id AS id, coalesce(d.source, (SELECT source FROM normalized_data WHERE id = d.record_id)) AS source,
           m.source_id, m.data, m.created_at, m.updated_at, d.language, {rank} AS rank
    FROM {found} LEFT JOIN normalized_data AS m ON m.id = d.record_id
"""
"""Documents as rows of the dataset, with their rank. Every document has its record, so the join could be an inner one; as it is,
PostgreSQL leaves it out unless something is asked that only the record knows.
"""

WORDS: Final = "record_search AS d JOIN asked AS w ON w.language = d.language AND d.vector @@ w.asked"
SIMILAR: Final = "(SELECT * FROM record_search WHERE {text} <%% title) AS d"

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
    """What answers a search: `documents` selects it, with the columns of `normalized_data`, its `language` and its `rank`.

    `asked` defines the words in each language, for `documents` as well as for showing them: it is joined to hits `h` by
    `asked_of_hits`, and gives the columns `shown`, which `snippets_join` reads.
    """

    documents: str
    asked: str = ""
    asked_of_hits: str = ""
    shown: str = ""


def search_of(query: RecordQuery, mode: SearchMode, binder: Binder) -> Search | None:
    if query.search is None:
        return None
    text = binder.bind(query.search, "text")
    if mode is SearchMode.SIMILAR:
        rank = f"word_similarity({text}, d.title)"
        return Search(DOCUMENTS.format(rank=rank, found=SIMILAR.format(text=text)))
    return Search(
        DOCUMENTS.format(rank="ts_rank(d.vector, w.asked)", found=WORDS),
        ASKED.format(text=text),
        "JOIN asked AS w ON w.language = h.language",
        ", w.language, w.asked",
    )


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
