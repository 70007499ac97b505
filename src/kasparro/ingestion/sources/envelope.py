"""The body of an answer: JSON text in; its records, the total it mentions and what `next` points at out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_records import Document, Element
from kasparro.ingestion.sources.selector import Selector

USUAL: Final = ("results", "data", "items")
"""Where records are looked for when nothing is declared."""

_TOTALS: Final = (("total",), ("total_count",), ("count",), ("meta", "total"))
_PAGES: Final = (("total_pages",), ("last_page",), ("meta", "total_pages"), ("meta", "last_page"))
_PLAUSIBLE_DIGITS: Final = 15
_KEYS_NAMED: Final = 20
_NO_COMPLAINT: Final = frozenset({b"null", b"false", b"[]", b"{}", b'""'})


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer that is a JSON array or object, its records found."""

    document: Document
    elements: list[Element]
    total: int | None = None
    pages: int | None = None

    def next_value(self, selector: Selector) -> Any:
        """What *selector* leads to. Raises `UnexpectedContent` for a bare array, which has no place for it."""
        if self.document.members is None and selector.names is not None:
            raise UnexpectedContent(
                f"the answer is a bare array, in which {selector.text!r} cannot be found",
                hint="Declare another `pagination`, such as page or link_header",
            )
        return selector.value(self.document)


EMPTY: Final = Envelope(Document(b"", {}), [])
"""An answer without a body: no records, nothing next."""


def open_envelope(text: bytes, records: Selector | None, describe: Callable[[], str]) -> Envelope:
    """Find the records. Raises `UnexpectedContent` when they are not where they should be, `TruncatedContent` on a cut.

    *describe* says in an error what was received instead.
    """
    if not json_records.is_array(text) and not json_records.is_object(text):
        raise UnexpectedContent(f"the answer is not a JSON array or object; it is {describe()}")
    document = json_records.read_document(text)
    found = _usual(document, describe) if records is None else _declared(document, records, describe)
    return Envelope(document, found, _total(document, len(found)), _pages(document))


def _declared(document: Document, records: Selector, describe: Callable[[], str]) -> list[Element]:
    found = records.elements(document)
    if found is not None:
        return found
    part = records.part(document)
    if part == b"null" and not _complains(document):
        return []  # how some languages write an empty list
    what = "no list" if part is None else "something else than a list"
    raise UnexpectedContent(
        f"the answer has {what} at {records.text!r}; {_keys(document)}; it is {describe()}",
        hint="`records` must lead to the list of records",
    )


def _usual(document: Document, describe: Callable[[], str]) -> list[Element]:
    if document.members is None:
        return json_records.elements(document.text)
    for name in USUAL:
        if json_records.is_array(document.members.get(name, b"")):
            return json_records.elements(document.members[name])
    named = ", ".join(USUAL)
    raise UnexpectedContent(
        f"the answer is an object without a list named {named}; {_keys(document)}; it is {describe()}",
        hint=f"Say where the records are, such as `records: {_guess(document)}`",
    )


def _guess(document: Document) -> str:
    lists = (name for name, text in (document.members or {}).items() if json_records.is_array(text))
    return next(lists, "path.to.the.list")


def _complains(document: Document) -> bool:
    given = ((document.members or {}).get(name, b"null") for name in ("error", "errors"))
    return any(complaint not in _NO_COMPLAINT for complaint in given)


def _total(document: Document, here: int) -> int | None:
    """The number of records there are, where the answer says so. A `count` of those on this page does not."""
    for path in _TOTALS:
        total = _number(document, path)
        if total is not None:
            return None if path == ("count",) and total <= here else total
    return None


def _pages(document: Document) -> int | None:
    numbers = (_number(document, path) for path in _PAGES)
    return next((number for number in numbers if number is not None), None)


def _number(document: Document, path: tuple[str, ...]) -> int | None:
    part = document.follow(path)
    plausible = part is not None and part.isdigit() and len(part) <= _PLAUSIBLE_DIGITS
    return int(part) if part is not None and plausible else None


def _keys(document: Document) -> str:
    if document.members is None:
        return "it is a bare array"
    names = list(document.members)
    more = ", ..." if len(names) > _KEYS_NAMED else ""
    return f"its keys are {', '.join(names[:_KEYS_NAMED])}{more}" if names else "it has no keys"
