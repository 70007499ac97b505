"""One request and its answer, as the layers of the API know it: its id, its clock, who asks, how it ended.

`middleware` makes it and puts it into the ASGI scope; everything within finds it by `exchange_of`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from kasparro.core import clock
from kasparro.core.config import Scope

KEY: Final = "kasparro.exchange"


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

    `headers` are those that the answer is to have beside its own.
    """

    request_id: str
    caller: Caller = field(default_factory=Caller)
    status: int | None = None
    code: str | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    started: float = field(default_factory=clock.monotonic)

    @property
    def milliseconds(self) -> float:
        """How long it has been going on."""
        return round((clock.monotonic() - self.started) * 1000, 3)


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    exchange: Exchange = scope[KEY]
    return exchange
