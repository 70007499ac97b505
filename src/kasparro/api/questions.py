"""What a request for records asks, read once: the query string in, a `Question` out, the same one for the same string.

Raises what `parse_query` raises; such a string is read again each time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from starlette.datastructures import QueryParams

from kasparro.api.headers import Header
from kasparro.api.query_links import links
from kasparro.api.searched import refuse_what_is_not_searched
from kasparro.api.validators import tag_of, validators
from kasparro.core.etl_config import Catalog
from kasparro.schemas.query import Count, RecordQuery
from kasparro.services.query_text import parse_query
from kasparro.storage.query_page import counted
from kasparro.storage.versions import DatasetState

MOST: Final = 2_000
LONGEST: Final = 1_000
"""Bytes of a query string that is remembered."""


class Marks(NamedTuple):
    stamp: str
    tag: bytes
    validators: tuple[Header, ...]


@dataclass(slots=True)
class Question:
    """`asked` is the same for all that mean the same. `source` is the one that decides the answer, None where several do.

    The answer is not `kept` where the planner has a say in it: its estimates change without a commit.
    """

    query: RecordQuery
    asked: bytes
    source: str | None
    kept: bool
    _pairs: list[tuple[str, str]]
    _link: tuple[str | None, bytes] | None = None
    _marks: Marks | None = None

    def link(self, cursor: str | None) -> bytes:
        """The `Link` of a page that *cursor* goes on behind."""
        if self._link is None or self._link[0] != cursor:
            self._link = (cursor, links("/data", self._pairs, cursor).encode("latin-1"))
        return self._link[1]

    def marks(self, state: DatasetState) -> Marks:
        """What tells the answer from a state from those from others."""
        stamp = state.stamp(self.source)
        if self._marks is None or self._marks.stamp != stamp:
            tag = tag_of(self.asked, stamp)
            self._marks = Marks(stamp, tag, tuple(validators(tag, state.changed_at(self.source))))
        return self._marks


class Questions:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: OrderedDict[bytes, Question] = OrderedDict()

    def read(self, query_string: bytes) -> Question:
        question = self._known.get(query_string)
        if question is None:
            question = self._read(query_string)
            if len(query_string) <= LONGEST:
                self._known[query_string] = question
                if len(self._known) > MOST:
                    self._known.popitem(last=False)
        return question

    def _read(self, query_string: bytes) -> Question:
        pairs = QueryParams(query_string).multi_items()
        query = parse_query(pairs)
        refuse_what_is_not_searched(query, self._catalog)
        return Question(
            query=query,
            asked=blake2b(repr(query).encode("utf-8", "surrogatepass"), digest_size=20).digest(),
            source=query.source if query.search is None else None,
            kept=query.after is not None or counted(query) is not Count.ESTIMATED,
            _pairs=pairs,
        )
