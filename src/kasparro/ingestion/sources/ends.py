"""What an answer says about the end of the data where the declaration tells where to look: `has_more` and `total`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.places import Answer, Place
from kasparro.ingestion.sources.selector import Selector, compile_selector

_NO: Final = frozenset({"", "false", "no", "n", "off", "0"})
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


class Ends:
    """The declared `has_more` and `total` of one source, compiled once."""

    def __init__(self, has_more: str | None, total: str | None = None) -> None:
        self._has_more = None if has_more is None else compile_selector(has_more)
        self._total = None if total is None else compile_selector(total)

    @property
    def counts(self) -> bool:
        """Whether the end is where so many records have come."""
        return self._total is not None

    def more(self, place: Place, answer: Answer) -> bool | None:
        """Whether there is a next page; `None` where the answer is not asked."""
        if self._has_more is None:
            return None
        found = answer.envelope.next_value(self._has_more)
        if found is None and place.ordinal == 1 and answer.count:
            raise _nothing_at(self._has_more, "has_more")
        return found.strip().lower() not in _NO if isinstance(found, str) else bool(found)

    def total(self, place: Place, answer: Answer) -> int | None:
        """The declared number of records; `None` where it is not declared or, after the first page, not given."""
        if self._total is None:
            return None
        found = answer.envelope.next_value(self._total)
        if found is None:
            if place.ordinal == 1 and answer.count:
                raise _nothing_at(self._total, "total")
            return None
        number = _whole(found)
        if number is None:
            raise UnexpectedContent(
                f"what is at {self._total.text!r} is not a number of records", hint="Check `pagination.total`"
            )
        return number


def _nothing_at(selector: Selector, key: str) -> UnexpectedContent:
    """A misspelt path must not pass for the end of the data."""
    return UnexpectedContent(
        f"the answer has nothing at {selector.text!r}, where it should say whether there is more",
        hint=f"Check `pagination.{key}`",
    )


def _whole(found: Any) -> int | None:
    match found:
        case bool():
            return None
        case int():
            return found
        case Decimal() if found == found.to_integral_value():
            return int(found)
        case str() if _WHOLE.fullmatch(found.strip()):
            return int(found)
        case _:
            return None
