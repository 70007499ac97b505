"""Parameters of the change feed and of exports: the filters of the query language, and only as much of the rest as each takes.

`api` and the command line call it. What is not understood is refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kasparro.core.errors import InvalidParameter
from kasparro.schemas.changes import FeedPosition
from kasparro.schemas.query import Count, RecordQuery
from kasparro.services.feed_cursor import read_position
from kasparro.services.query_text import DIGITS, DIRECTIVES, parse_query

NOW: Final = "now"
MOST_CHANGES: Final = 1_000
USUAL_CHANGES: Final = 100

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Followed:
    """What a follower asks for. Without a `position` it wants to begin at what is there now, and hear only of what comes."""

    query: RecordQuery
    position: FeedPosition | None
    limit: int = USUAL_CHANGES


def parse_changes(pairs: Pairs) -> Followed:
    """What a request for changes asks for. Raises `InvalidParameter`, `InvalidCursor`."""
    own = {name: text for name, text in pairs if name in {"since", "limit"}}
    query = _filters(pairs, {"fields"}, ("since", "limit"))
    return Followed(query, _position(own.get("since"), query), _limit(own.get("limit")))


def parse_stream(pairs: Pairs, last_event_id: str | None) -> Followed:
    """The same for a stream; where one broke, what it last told wins over `since`, which stands in its address for ever."""
    own = {name: text for name, text in pairs if name == "since"}
    query = _filters(pairs, {"fields"}, ("since",))
    if last_event_id is not None:
        return Followed(query, read_position(last_event_id, query, "Last-Event-ID"))
    return Followed(query, _position(own.get("since"), query))


def parse_export(pairs: Pairs) -> RecordQuery:
    """Which records to export, in which order, with which fields. Raises `InvalidParameter`."""
    return replace(_filters(pairs, {"fields", "sort"}, ()), count=Count.NONE)


def _filters(pairs: Pairs, directives: set[str], own: Sequence[str]) -> RecordQuery:
    """The query without the parameters that are the route's *own*; of the language's directives it takes only these."""
    taken = {"filter", *directives}
    names = [name for name, _ in pairs]
    for name in own:
        if names.count(name) > 1:
            raise InvalidParameter(
                name, f"the parameter {name!r} is given {names.count(name)} times", hint="Give it once"
            )
    for name in names:
        if name in DIRECTIVES and name not in taken and name not in own:
            known = ", ".join(sorted({*taken, *own, "source"}))
            raise InvalidParameter(
                name, f"there is no parameter {name!r} here", hint=f"There are: {known}, and conditions"
            )
    return parse_query([(name, text) for name, text in pairs if name not in own])


def _position(since: str | None, query: RecordQuery) -> FeedPosition | None:
    if since is None:
        return FeedPosition()
    return None if since == NOW else read_position(since, query, "since")


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL_CHANGES
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= MOST_CHANGES:
        raise InvalidParameter("limit", f"must be a whole number from 1 to {MOST_CHANGES}")
    return int(text)
