"""The body of an answer: JSON text in; its records, the total it mentions and what `next` points at out.

Of an answer that was too large to be held, the records have been handed on but for the last ones; what is around them is here.
"""

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
_PAGES: Final = (
    *(("total_pages",), ("totalPages",), ("last_page",)),
    *(("meta", "total_pages"), ("meta", "last_page")),
)
_PLAUSIBLE_DIGITS: Final = 15
_KEYS_NAMED: Final = 20
_NO_COMPLAINT: Final = frozenset({None, b"null", b"false", b"0", b"[]", b"{}", b'""'})
_FAILURES: Final = frozenset({b'"error"', b'"fail"', b'"failed"', b'"failure"'})


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer that is a JSON array or object, its records found.

    `before`: so many records were handed on before these, of an answer of `size` bytes. `digest` is of all of them.
    """

    document: Document
    elements: list[Element]
    total: int | None = None
    pages: int | None = None
    before: int = 0
    size: int = 0
    digest: bytes | None = None

    @property
    def count(self) -> int:
        return self.before + len(self.elements)

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
    return around(document, found)


def around(document: Document, found: list[Element], before: int = 0) -> Envelope:
    """What *document* says beside the records that were *found* in it, and *before*."""
    total = _total(document, before + len(found))
    return Envelope(document, found, total, _pages(document), before)


def check(envelope: Envelope, error: Selector | None, describe: Callable[[], str]) -> None:
    """Raise `UnexpectedContent` for what is no answer: it says so at the declared *error*, or has no records and complains."""
    if error is not None and error.value(envelope.document):
        raise UnexpectedContent(f"the answer has an error at {error.text!r}; it is {describe()}")
    if not envelope.count:
        refuse_complaint(envelope.document, describe)


def refuse_complaint(document: Document, describe: Callable[[], str]) -> None:
    """Raise `UnexpectedContent` for an answer without records that says why there are none."""
    if complains(document):
        raise UnexpectedContent(f"the answer has no records, and complains; it is {describe()}")


def list_of_records(document: Document, records: Selector | None) -> bytes | None:
    """The text of the list that the records stand in, or of their outermost list."""
    if records is not None:
        return document.follow(records.flat.lead if records.flat is not None else records.names or ())
    if document.members is None:
        return document.text
    return next(
        (document.members[n] for n in USUAL if json_records.is_array(document.members.get(n, b""))), None
    )


def _declared(document: Document, records: Selector, describe: Callable[[], str]) -> list[Element]:
    found = records.elements(document)
    if found is not None:
        return found
    part = records.part(document)
    refuse_complaint(document, describe)
    if part == b"null":
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
    refuse_complaint(document, describe)
    named = ", ".join(USUAL)
    raise UnexpectedContent(
        f"the answer is an object without a list named {named}; {_keys(document)}; it is {describe()}",
        hint=f"Say where the records are, such as `records: {_guess(document)}`",
    )


def _guess(document: Document) -> str:
    lists = (name for name, text in (document.members or {}).items() if json_records.is_array(text))
    return next(lists, "path.to.the.list")


def complains(document: Document) -> bool:
    """Whether it has what answers have when something went wrong: an error, no success, or a status that says so."""
    if any(document.follow((name,)) not in _NO_COMPLAINT for name in ("error", "errors")):
        return True
    if any(document.follow((name,)) == b"false" for name in ("success", "ok")):
        return True
    status = document.follow(("status",))
    return status is not None and status.lower() in _FAILURES


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
    part = (document.follow(path) or b"").strip(b'"')  # in XML all is text
    return int(part) if part.isdigit() and len(part) <= _PLAUSIBLE_DIGITS else None


def _keys(document: Document) -> str:
    if document.members is None:
        return "it is a bare array"
    names = list(document.members)
    more = ", ..." if len(names) > _KEYS_NAMED else ""
    return f"its keys are {', '.join(names[:_KEYS_NAMED])}{more}" if names else "it has no keys"
