"""Tokens of one source: fetched once for everybody who waits, kept in the process, renewed before they expire and once on a 401.

`client` and `files.web_client` ask for the one to send; `grants` knows how one is had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from kasparro.core.errors import AuthenticationFailed, SourceError
from kasparro.ingestion.http.credentials import Credentials

log = structlog.get_logger(__name__)

EARLY: Final = timedelta(seconds=60)
"""A token is renewed so long before it expires, or a tenth of its life before, whichever is less."""


@dataclass(frozen=True, slots=True)
class Token:
    """What to send, since when, and how long it is good; None: until it is refused."""

    credentials: Credentials
    obtained: datetime
    expires: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it should be renewed before it is sent again."""
        if self.expires is None:
            return False
        return now >= self.expires - min(EARLY, (self.expires - self.obtained) / 10)


class TokenCache:
    """The tokens of a process, one a source: a run that begins need not log in when the one before has done so.

    Kept in memory alone. A token is found only by who asks in the very way that it was had in.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Token]] = {}
        self.rotated: dict[tuple[str, str], str] = {}

    def get(self, source: str, way: str) -> Token | None:
        """The token of *source*, if it was had in this *way*."""
        known, token = self._kept.get(source, ("", None))
        return token if known == way else None

    def put(self, source: str, way: str, token: Token) -> None:
        self._kept[source] = (way, token)


PROCESS_TOKENS: Final = TokenCache()


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one source in a cache."""

    cache: TokenCache
    source: str
    way: str

    @property
    def token(self) -> Token | None:
        return self.cache.get(self.source, self.way)

    def keep(self, token: Token) -> None:
        self.cache.put(self.source, self.way, token)


class TokenKeeper:
    """Of one opened source. *obtain* asks for a token, with every retry there is; it is never called twice at once."""

    def __init__(
        self, obtain: Callable[[], Awaitable[Token]], slot: Slot, now: Callable[[], datetime]
    ) -> None:
        self._obtain = obtain
        self._slot = slot
        self._now = now
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure: SourceError | None = None
        self._unproved: Token | None = None

    async def current(self) -> Token:
        """A token that is good for now, as far as anybody knows."""
        token = self._slot.token
        if token is None or token.is_due(self._now()):
            return await self._renewed(token)
        return token

    async def instead_of(self, refused: Token, refusal: AuthenticationFailed) -> Token:
        """Another one than *refused*, which the source answered with *refusal*.

        Raises *refusal* if that one was new already, had because of another refusal: the token is not what is wrong.
        """
        if refused is self._unproved:
            raise refusal
        token = await self._renewed(refused)
        if token.credentials == refused.credentials:
            raise refusal
        return token

    def accepted(self, token: Token) -> None:
        """The source took *token*: should it refuse it later, it is worth to ask for another one."""
        if token is self._unproved:
            self._unproved = None

    async def _renewed(self, known: Token | None) -> Token:
        """One that is not *known*. Who waits for the request of another shares its result, the error too."""
        failures = self._failures
        async with self._lock:
            token = self._slot.token
            if token is not None and token is not known:
                return token
            if self._failure is not None and self._failures != failures:
                raise self._failure
            try:
                token = await self._obtain()
            except SourceError as error:
                self._failures, self._failure = self._failures + 1, error
                raise
            refused = known is not None and not known.is_due(self._now())
            self._unproved = token if refused else None
            self._slot.keep(token)
            log.info("auth.token_obtained", source=self._slot.source, expires=_shown(token.expires))
            return token


def _shown(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec="seconds")
