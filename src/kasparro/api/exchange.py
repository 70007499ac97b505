"""One request and its answer, as the layers of the API know it: its id, its clock, who asks, how it ended.

`middleware` makes it and puts it into the ASGI scope; everything within finds it by `exchange_of`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from kasparro.api.codings import NOTHING, Accepted
from kasparro.api.headers import Header
from kasparro.core import clock
from kasparro.core.config import Scope
from kasparro.core.database_time import Meter

KEY: Final = "kasparro.exchange"

VARY: Final = (b"vary", b"accept-encoding")
"""Of every answer: what is too short to be packed today is not tomorrow, and a 304 has it as its 200 has."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as it matters: what they may do, and whether they showed a key.

    `name` is what logs and counters call the key, no part of its secret; `per_minute` a limit of its own. `lasting`: the same
    request is from the same caller for as long as the process lives.
    """

    scopes: frozenset[Scope] = frozenset()
    has_key: bool = False
    name: str | None = None
    per_minute: int | None = None
    lasting: bool = False


@dataclass(slots=True)
class Exchange:
    """`status` and `code` are those of the answer, once there is one; `code` only when it is a problem.

    `limit` are the headers that say how the caller stands with theirs: what it is, and what is left of it. `accepts` are the
    codings that the answer may have. `kept` tells whether it was found among those kept here, None where nothing was looked for.
    """

    request_id: str
    accepts: Accepted = NOTHING
    caller: Caller = field(default_factory=Caller)
    status: int | None = None
    code: str | None = None
    limit: tuple[Header, Header] | None = None
    kept: bool | None = None
    database: Meter = field(default_factory=Meter)
    started: float = field(default_factory=clock.monotonic)

    @property
    def milliseconds(self) -> float:
        """How long it has been going on."""
        return (clock.monotonic() - self.started) * 1000

    @property
    def timing(self) -> bytes:
        """Where the time went (`Server-Timing`, https://www.w3.org/TR/server-timing/)."""
        told = b"total;dur=%.3f, db;dur=%.3f" % (self.milliseconds, self.database.seconds * 1000)
        if self.kept is None:
            return told
        return told + (b", cache;desc=hit" if self.kept else b", cache;desc=miss")

    @property
    def particular(self) -> tuple[Header, Header]:
        """The headers of its answer that no other answer has."""
        return (b"x-request-id", self.request_id.encode()), (b"server-timing", self.timing)

    @property
    def told(self) -> list[Header]:
        """The headers of its answer that are about itself."""
        return [*(self.limit or ()), *self.particular, VARY]


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    exchange: Exchange = scope[KEY]
    return exchange
