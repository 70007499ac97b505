"""The fields of a record as SQL, and the values that a statement binds. All SQL text is our own; paths and values are bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from kasparro.schemas.query import SORTED_CHARACTERS, Field

COLUMNS: Final = frozenset({"id", "source", "source_id", "created_at", "updated_at"})
"""Fields that have a column of their own; the others are in `data`."""

MOST_DIGITS: Final = 400
"""A number that is longer when written out is none for comparisons and sorting; a double has no more."""
NUMBER: Final = r"'^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$'"

PUBLISHED: Final = "rtrim(left(n.data->>'published_at', 40), 'Z')"
"""Times in the dataset are UTC and written one way, so without their Z they sort as text, and need no cast that could fail."""
PUBLISHED_OR_NEVER: Final = f"coalesce({PUBLISHED}, '')"


@dataclass(slots=True)
class Binder:
    """Collects the values of a statement: `bind` keeps one and gives its placeholder."""

    values: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: object, kind: str) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"%({name})s::{kind}"

    def path(self, wanted: Field) -> str:
        return self.bind(["metadata", *wanted.path], "text[]")


def text_of(wanted: Field) -> str:
    """A field that is text."""
    return f"n.{wanted.name}" if wanted.name in COLUMNS else f"(n.data->>'{wanted.name}')"


def json_of(wanted: Field, binder: Binder) -> str:
    """What stands at a metadata path."""
    return f"(n.data #> {binder.path(wanted)})"


def plain(json: str) -> str:
    """A JSON scalar as text, a text without its quotes."""
    return f"({json} #>> '{{}}')"


def number_of(json: str) -> str:
    """A JSON value as a number: a number, or a text that is one, as CSV cells are."""
    text = plain(json)
    return (
        f"CASE jsonb_typeof({json})"
        f" WHEN 'number' THEN CASE WHEN length({text}) <= {MOST_DIGITS} THEN {json}::numeric END"
        f" WHEN 'string' THEN CASE WHEN length({text}) <= 100 AND {text} ~ {NUMBER} THEN {text}::numeric END END"
    )


def sorted_text_of(json: str) -> str:
    """What texts and booleans in metadata are sorted by; nothing where it is sorted as a number."""
    return (
        f"CASE WHEN jsonb_typeof({json}) IN ('string', 'boolean') AND ({number_of(json)}) IS NULL"
        f" THEN left({plain(json)}, {SORTED_CHARACTERS}) END"
    )


def rfc3339(column: str) -> str:
    return (
        f"CASE WHEN {in_range(column)}"
        f""" THEN to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END"""
    )


def in_range(column: str) -> str:
    """Whether a time can be told in JSON: PostgreSQL knows infinite ones, too."""
    return f"{column} >= '0001-01-01Z' AND {column} < '10000-01-01Z'"
