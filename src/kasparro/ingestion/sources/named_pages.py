"""Pages that the answer before names, by a token or an address. An answer in, the next place out."""

from __future__ import annotations

from typing import Any, ClassVar

from yarl import URL

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.link_header import link_target
from kasparro.ingestion.http.origin import resolve_link
from kasparro.ingestion.http.query import with_query, without_query
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.selector import Selector


class Named:
    """Pages that the answer before names: the end is where nothing is named. An empty page is not."""

    first: Position = None

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:  # noqa: ARG002  # only an answer knows
        return None

    def beyond_end(self, place: Place) -> frozenset[int]:  # noqa: ARG002  # a page that was named must be there
        return frozenset()

    def understands(self, at: Any) -> bool:
        return isinstance(at, str) and at != ""


class Tokens(Named):
    """Each answer carries a token, in the body or in the header *header*."""

    key: ClassVar[str] = "token"

    def __init__(self, param: str, selector: Selector | None, header: str | None) -> None:
        self.param = param
        self.selector = selector
        self.header = header

    def url(self, base: URL, at: Position) -> URL:
        return base if at is None else with_query(base, [(self.param, str(at))])

    def after(self, place: Place, answer: Answer) -> Place | None:
        token = _named(self._found(answer), "the next token")
        return None if token is None else place.step(token)

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

    def url(self, base: URL, at: Position) -> URL:
        return base if at is None else resolve_link(str(at), base, "the next page")

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
