"""What a follower is told of one source, as SQL: the records as of a version, by id, or what changed between versions.

`storage.changes` runs it. The first is served by the index on (source, id), the second by the small one on (source, version),
which knows between which versions each few pages of the table are.
"""

from __future__ import annotations

from typing import NamedTuple

from kasparro.schemas.changes import Place
from kasparro.schemas.query import RecordQuery, SearchMode, conditions_of
from kasparro.storage.query_conditions import all_of
from kasparro.storage.query_fields import Binder
from kasparro.storage.query_page import READABLE, Statement, record_json
from kasparro.storage.reading import only_source


class ChangeColumns(NamedTuple):
    """`met`: whether the record is among what is asked for. `record` is null otherwise, and where what is stored is no record."""

    id: int
    source_id: str
    version: int
    met: bool
    record: str | None


def heads_statement(query: RecordQuery) -> Statement:
    """Where each source is, of those that the filters let through by name."""
    binder = Binder()
    named = [one for one in query.where if all(c.field.name == "source" for c in conditions_of((one,)))]
    text = f"""
        SELECT n.source, n.id, n.version FROM etl_checkpoint AS n WHERE {all_of(named, binder)} ORDER BY n.source
    """
    return Statement(text, binder.values)


def walk_bound_statement(source: str, place: Place, most: int) -> Statement:
    """The id of the last of the *most* records that a walk looks at; none when there are fewer."""
    binder = Binder()
    text = f"""
        SELECT n.id FROM normalized_data AS n WHERE {_behind(source, place, binder)}
        ORDER BY n.source, n.id LIMIT 1 OFFSET {most - 1}
    """
    return Statement(text, binder.values)


def walk_statement(query: RecordQuery, source: str, place: Place, most: int, limit: int) -> Statement:
    """Of the next *most* records, those as of the place's version. What changed since comes later, with its change."""
    binder = Binder()
    looked_at = f"""(
        SELECT n.* FROM normalized_data AS n WHERE {_behind(source, place, binder)} ORDER BY n.source, n.id LIMIT {most}
    )"""
    as_of = f"n.version <= {binder.bind(place.version, 'bigint')}"
    return _statement(query, looked_at, as_of, "p.met", "p.source, p.id", limit, binder)


def window_statement(query: RecordQuery, source: str, place: Place, last: int, limit: int) -> Statement:
    """What changed behind *place* up to the version *last*. A record that changed and is not asked for may have been before.

    What was deleted is told to all: a record that is gone can no longer say whether it was asked for.
    """
    binder = Binder()
    version, end = binder.bind(place.version, "bigint"), binder.bind(last, "bigint")
    told_of = None if place.id is None else binder.bind(place.id, "bigint")

    def within(row: str, record: str) -> str:
        if told_of is None:
            return f"{row}.version > {version} AND {row}.version <= {end}"
        behind = f"({row}.version, {record}) > ({version}, {told_of})"
        return f"{row}.version >= {version} AND {row}.version <= {end} AND {behind}"

    told = "(p.met OR p.updated_at > p.created_at)"
    own = only_source("n.source", binder.bind(source, "text"))
    changed = f"{own} AND {within('n', 'n.id')}"
    stored = _statement(query, "normalized_data", changed, told, "p.version, p.id", limit, binder)
    most = binder.bind(limit, "bigint")
    text = f"""
        ({stored.text}) UNION ALL (
            SELECT t.record_id, t.source_id, t.version, false, NULL FROM tombstone AS t
            WHERE t.source = {binder.bind(source, "text")} AND {within("t", "t.record_id")}
            ORDER BY t.version, t.record_id LIMIT {most}
        ) ORDER BY 3, 1 LIMIT {most}
    """
    return Statement(text, binder.values)


def _statement(
    query: RecordQuery, rows: str, within: str, told: str, order: str, limit: int, binder: Binder
) -> Statement:
    record = record_json(query, SearchMode.WORDS, binder)
    met = all_of(query.where, binder)
    text = f"""
        SELECT p.id, p.source_id, p.version, p.met, CASE WHEN p.met AND {READABLE} THEN {record} END
        FROM (
            SELECT n.id, n.source, n.source_id, n.data, n.created_at, n.updated_at, n.version, ({met}) IS TRUE AS met
            FROM {rows} AS n WHERE {within}
        ) AS p
        WHERE {told} ORDER BY {order} LIMIT {binder.bind(limit, "bigint")}
    """
    return Statement(text, binder.values)


def _behind(source: str, place: Place, binder: Binder) -> str:
    behind = f"(n.source, n.id) > ({binder.bind(source, 'text')}, {binder.bind(place.id, 'bigint')})"
    return f"{only_source('n.source', binder.bind(source, 'text'))} AND {behind}"
