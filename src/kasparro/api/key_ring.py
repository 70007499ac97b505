"""Keys that are kept in the database: checked against a copy that is at most two seconds old, or not at all.

`Access` asks it about every key of our making. What it cannot know it does not guess: without the database there is no copy to
go by, and the request is answered with 503.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from kasparro.api.exchange import Caller
from kasparro.api.grants import GRANTS
from kasparro.core.errors import DatabaseUnavailable, StorageError
from kasparro.schemas.keys import ActiveKey, digest_of, prefix_of
from kasparro.storage.api_keys import ApiKeys

FRESH_SECONDS: Final = 2.0
"""How long a revoked key may go on being taken."""

PATIENCE_SECONDS: Final = 1.5
AGAIN_SECONDS: Final = 1.0
"""After the database did not answer, nobody waits for it again before this is over."""


class KeyRing:
    def __init__(
        self,
        keys: ApiKeys,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._keys = keys
        self._patience = patience
        self._monotonic = monotonic
        self._now = now
        self._active: Mapping[str, ActiveKey] = {}
        self._fresh_until = 0.0
        self._failed: tuple[float, StorageError] | None = None
        self._question: asyncio.Task[None] | None = None

    async def verify(self, secret: bytes) -> Caller | None:
        """Who has this key; None when nobody has. Raises `StorageError` when that cannot be told."""
        prefix = prefix_of(secret.decode("latin-1"))
        if prefix is None:
            return None
        if self._monotonic() >= self._fresh_until:
            await self._refresh()
        key = self._active.get(prefix)
        if key is None or not hmac.compare_digest(key.digest, digest_of(secret)):
            return None
        if key.expires_at is not None and key.expires_at <= self._now():
            return None
        return Caller(GRANTS[key.scope], has_key=True, name=prefix, per_minute=key.rate_per_minute)

    async def close(self) -> None:
        if self._question is not None:
            await asyncio.wait({self._question})

    async def _refresh(self) -> None:
        """Read the keys, once for all who wait. A question to the database is not cancelled; whoever waits stops waiting."""
        if self._failed is None or self._monotonic() >= self._failed[0]:
            if self._question is None or self._question.done():
                self._question = asyncio.create_task(self._read())
            await asyncio.wait({self._question}, timeout=self._patience)
        if self._monotonic() >= self._fresh_until:
            raise DatabaseUnavailable("the keys cannot be read") from (
                self._failed[1] if self._failed else None
            )

    async def _read(self) -> None:
        """Renew the copy, which counts from before it was read; or remember why that did not work."""
        began = self._monotonic()
        try:
            active = await self._keys.active()
        except StorageError as error:
            self._failed = (self._monotonic() + AGAIN_SECONDS, error)
            return
        self._failed = None
        self._active = {key.prefix: key for key in active}
        self._fresh_until = began + FRESH_SECONDS
