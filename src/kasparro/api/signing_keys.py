"""The public keys that tokens are signed with: a JWKS (RFC 7517), read from a file or fetched, kept, and renewed when it is time.

Keys rotate: a token that names a key we do not have makes us look again, but not more often than every `AGAIN_SECONDS`, so that
nobody can make us ask the issuer all the time. Keys that have vanished from the set are gone after `FRESH_SECONDS`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import jwt
import structlog

from kasparro.core.errors import KeysUnavailable

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 300.0
STALE_SECONDS: Final = 3600.0
"""How long the keys that were fetched last are good when the issuer cannot be reached."""

AGAIN_SECONDS: Final = 10.0
FETCH_SECONDS: Final = 5.0
LARGEST: Final = 1 << 20


NO_KEYS: Final = (
    OSError,
    TimeoutError,
    aiohttp.ClientError,
    jwt.PyJWTError,
    ValueError,
    TypeError,
    RecursionError,
)
"""What a place that cannot be read, and a text that is no JWKS, raise."""


class SigningKeys:
    """*place* is a path, or an http(s) address."""

    def __init__(self, place: str, monotonic: Callable[[], float]) -> None:
        self._place = place
        self._monotonic = monotonic
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._renewing = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this id, for this algorithm; the only one that fits when the token names none. Raises `KeysUnavailable`."""
        if self._older_than(FRESH_SECONDS):
            await self._renew()
        found = self._look(kid, algorithm)
        if found is None:
            await self._renew()
            found = self._look(kid, algorithm)
        if self._older_than(STALE_SECONDS):
            raise KeysUnavailable
        return found

    def _look(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm and kid in {None, key.key_id}]
        return fitting[0] if len(fitting) == 1 else None

    def _older_than(self, seconds: float) -> bool:
        return self._read_at is None or self._monotonic() - self._read_at > seconds

    async def _renew(self) -> None:
        """Read the set again, once for all who wait, and not when that was tried a moment ago."""
        async with self._renewing:
            now = self._monotonic()
            if self._tried_at is not None and now - self._tried_at < AGAIN_SECONDS:
                return
            self._tried_at = now
            try:
                self._keys = keys_in(await self._text())
                self._read_at = now
            except NO_KEYS as error:
                log.warning("token_keys.unavailable", reason=type(error).__name__)

    async def _text(self) -> str:
        if not self._place.startswith(("https://", "http://")):
            return await asyncio.to_thread(Path(self._place).read_text)
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._place, allow_redirects=False, raise_for_status=True) as answer,
        ):
            body = await answer.content.read(LARGEST + 1)
            while len(body) <= LARGEST and (more := await answer.content.read(LARGEST + 1 - len(body))):
                body += more
            if answer.status != 200 or len(body) > LARGEST:  # noqa: PLR2004  # a redirect is not followed
                raise ValueError("this is no JWKS")
            return body.decode()


def keys_in(text: str) -> tuple[jwt.PyJWK, ...]:
    """The keys for signatures in a JWKS. Raises `PyJWTError`, `ValueError`, `TypeError`, `RecursionError`."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError("a JWKS is an object")
    return tuple(key for key in jwt.PyJWKSet.from_dict(document) if key.public_key_use in {None, "sig"})
