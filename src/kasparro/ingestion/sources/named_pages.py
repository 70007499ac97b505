"""Pages that the answer before names, by a token or an address. An answer in, the next place out."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

import msgspec

from kasparro.core.errors import UnexpectedContent
from kasparro.core.etl_config import HEADER_PREFIX, CursorPagination
from kasparro.ingestion.http.client import Request
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.link_header import link_target
from kasparro.ingestion.http.origin import resolve_link
from kasparro.ingestion.http.query import without_query
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.asking import asking
from kasparro.ingestion.sources.ends import Ends
from kasparro.ingestion.sources.paging import Plain
from kasparro.ingestion.sources.places import Answer, Place, Position
from kasparro.ingestion.sources.selector import Selector, compile_selector
from kasparro.ingestion.sources.target import Target
from kasparro.schemas.ingest import Cursor

_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
_LONGEST: Final = 8_000
"""Characters of a token: more fits into no request line, and every checkpoint keeps one."""

STALE: Final = frozenset({400, 404, 410, 422})
"""What a source says to a token or an address that has expired since it was given."""


def is_named(cursor: Cursor | None) -> bool:
    """Whether *cursor* holds a place that a source has named."""
    return cursor is not None and any(isinstance(cursor.get(kind.key), str) for kind in (Tokens, Links))


class Named(Plain):
    """Pages that the answer before names: the end is where nothing is named. An empty page is not."""

    def first(self) -> Place:
        return Place(None)


class Tokens(Named):
    """Each answer carries a token, in the body or in a header. One that goes into a body is kept as JSON, whatever its type."""

    key: ClassVar[str] = "token"

    def __init__(self, declared: CursorPagination) -> None:
        self.declared = declared
        in_header = declared.next.startswith(HEADER_PREFIX)
        self.header = declared.next.removeprefix(HEADER_PREFIX) if in_header else None
        self.selector = None if in_header else compile_selector(declared.next)
        self.ends = Ends(declared.has_more)

    def request(self, target: Target, at: Position) -> Request:
        if at is None:
            return target.request(target.base, first=True)
        value = msgspec.json.decode(str(at)) if self.declared.in_ == "body" else at
        return asking(target, self.declared.in_, {self.declared.param: value})

    def after(self, place: Place, answer: Answer) -> Place | None:
        if self.ends.more(place, answer) is False:
            return None
        found = self._found(answer)
        token = _as_json(found) if self.declared.in_ == "body" else _named(found, "the next token")
        if token is None:
            return None
        if len(token) > _LONGEST:
            raise UnexpectedContent(f"the next token is longer than {_LONGEST} characters")
        if self.declared.in_ == "header" and _UNSENDABLE.search(token):
            raise UnexpectedContent("the next token contains a character that no header can carry")
        return place.step(token)

    def understands(self, at: Any) -> bool:
        return super().understands(at) and (self.declared.in_ != "body" or _is_json(at))

    def _found(self, answer: Answer) -> Any:
        if self.selector is not None:
            return answer.envelope.next_value(self.selector)
        return answer.headers.get(self.header or "", "").strip()


class Links(Named):
    """Each answer carries the address of the next page: at *selector* in the body, else in the `Link` header."""

    key: ClassVar[str] = "url"

    def __init__(self, selector: Selector | None, credentials: Credentials) -> None:
        self.selector = selector
        self.credentials = credentials

    def request(self, target: Target, at: Position) -> Request:
        url = target.base if at is None else resolve_link(str(at), target.base, "the next page")
        return target.request(url, first=at is None)

    def after(self, place: Place, answer: Answer) -> Place | None:
        link = _named(self._found(answer), "the next page's address")
        if link is None:
            return None
        url = resolve_link(link, answer.url, "the next page")
        return place.step(str(without_query(url, self.credentials.belongs)))

    def _found(self, answer: Answer) -> Any:
        if self.selector is not None:
            return answer.envelope.next_value(self.selector)
        return link_target(answer.headers.get("Link", ""), "next")


def _named(found: Any, what: str) -> str | None:
    """A token or an address as text; null, false, empty text and nothing at all mean the end."""
    match found:
        case None | False | "":
            return None
        case str():
            return found
        case int() if found is not True:
            return str(found)
        case _:
            raise UnexpectedContent(f"{what} is neither text nor a number", hint="Check `pagination`")


def _as_json(found: Any) -> str | None:
    """Any value as JSON text: the sort values of the last hit are a list, for one. What is empty means the end."""
    if found is None or found is False or found in ("", [], {}):
        return None
    return json_records.text_of(found).decode()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
