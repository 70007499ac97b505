"""How much one client has open at a time: connections, subscriptions. Counted for its key, else for its address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from kasparro.core.errors import RateLimited

AGAIN_SECONDS = 10


class Register:
    """What is open of one kind, by client, and altogether."""

    def __init__(self, thing: str, per_client: int, altogether: int | None = None) -> None:
        self._thing = thing
        self._per_client = per_client
        self._altogether = altogether
        self.open: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raises `RateLimited` where there are too many."""
        if self._altogether is not None and self.open.total() >= self._altogether:
            raise RateLimited(f"this server has no room for another {self._thing}", retry_after=AGAIN_SECONDS)
        if self.open[client] >= self._per_client:
            raise RateLimited(
                f"one client has at most {self._per_client} {self._thing}s open", retry_after=AGAIN_SECONDS
            )

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """Count one as long as this lasts. Raises `RateLimited` where there are too many."""
        self.check(client)
        self.open[client] += 1
        try:
            yield
        finally:
            self.open[client] -= 1
            if not self.open[client]:
                del self.open[client]
