"""Requests that come again, byte for byte: answered without being read again, by whoever offered to.

A request that could come again has `OFFER` among its extensions (ASGI, "Extensions"): the application may `KEEP` an `Answerer`
there, which is then asked in its place. What the bytes of a request mean is the same between any two messages of any connection;
at whatever else decides the answer, the `Answerer` looks each time. `http_protocol` offers and asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kasparro.core.http_answers import Header, lines_of

OFFER: Final = "kasparro.again"
KEEP: Final = "keep"
MOST: Final = 1_000
LONGEST: Final = 4_000
"""Bytes of a request that is remembered."""


@dataclass(slots=True)
class Whole:
    """An answer of which everything is known. `lines` are those of its headers; None where they are not fit to be sent.

    `body` is in pieces: what many answers have alike is copied but once.
    """

    status: int
    lines: bytes | None
    body: tuple[bytes, ...]

    @classmethod
    def of(cls, status: int, headers: Sequence[Header], body: bytes) -> Whole:
        return cls(int(status), lines_of(status, headers, body), (body,))


Answerer = Callable[[Callable[[Whole], None]], None]
"""Begins to answer once more, and hands over the answer when there is one. It does not raise, and never forgets to."""

Words = tuple[str | None, bytes]
"""From where, and all that is said."""


class Memory:
    """Who answers which words. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Words, Answerer] = OrderedDict()

    def get(self, words: Words) -> Answerer | None:
        return self._known.get(words)

    def keep(self, words: Words, answerer: Answerer) -> None:
        self._known[words] = answerer
        if len(self._known) > MOST:
            self._known.popitem(last=False)
