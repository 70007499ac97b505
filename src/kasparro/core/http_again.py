"""Requests that come again, byte for byte: answered without being read again, by whoever offered to.

A request that could come again has `OFFER` among its extensions (ASGI, "Extensions"): the application may `KEEP` an `Answerer`
there, which is then asked in its place. What the bytes of a request mean is the same between any two messages of any connection;
at whatever else decides the answer, the `Answerer` looks each time. `http_protocol` offers and asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

OFFER: Final = "kasparro.again"
KEEP: Final = "keep"
MOST: Final = 1_000
LONGEST: Final = 4_000
"""Bytes of a request that is remembered."""


@dataclass(slots=True)
class Whole:
    """An answer of which everything is known. `settled` are header lines that `http_answers.settled` has looked at before."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    settled: bytes = b""


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
