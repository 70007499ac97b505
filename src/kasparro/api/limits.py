"""How many requests a minute: counted for each key or address, in this process or in a Redis that several share.

`Limiter.take` is asked for every request. A minute begins with the first request of it. A Redis that is away is no reason to
refuse, nor to let everybody in: this process counts by itself until it is back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final, NamedTuple

import structlog
from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from kasparro.api.redis_connections import AWAY_SECONDS, Breaker, connections

log = structlog.get_logger(__name__)

Clock = Callable[[], float]
"""Seconds since 1970: the times of Redis are such."""

WINDOW_SECONDS: Final = 60
MOST_COUNTERS: Final = 100_000
"""Of this process. When there are more, those that are over go first, then the oldest."""


class Standing(NamedTuple):
    """How somebody stands with their limit. `reset` is in whole seconds, until all of it is there again."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class Counters:
    """How often something was counted in the minute that began with its first time; never too many of them."""

    def __init__(self, now: Clock, most: int = MOST_COUNTERS) -> None:
        self._counts: dict[str, int] = {}
        self._ends: dict[str, float] = {}
        self._now = now
        self._most = most

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: str) -> tuple[int, float]:
        """Count one more of *key*: how many there are in its minute, and how many seconds of that are left."""
        now = self._now()
        count, end = self._counts.get(key, 0) + 1, self._ends.get(key, 0)
        if end <= now:
            self._forget(key)
            if len(self._ends) >= self._most:
                self._make_room()
            count, end = 1, now + WINDOW_SECONDS
            self._ends[key] = end
        self._counts[key] = count
        return count, end - now

    def seen(self, key: str) -> int:
        if key not in self._ends:
            return 0
        if self._ends[key] > self._now():
            return self._counts[key]
        self._forget(key)
        return 0

    def end(self, key: str) -> float:
        return self._ends.get(key, 0)

    def _make_room(self) -> None:
        over = [key for key, end in self._ends.items() if end <= self._now()]
        for key in over or list(self._ends)[: self._most // 10 or 1]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._counts.pop(key, None)
        self._ends.pop(key, None)


class Limiter:
    """Counts in Redis where there is one, else here."""

    def __init__(self, redis_url: str | None, now: Clock) -> None:
        self._here = Counters(now)
        self._pool = connections(redis_url) if redis_url else None
        self._shared = _storage(self._pool) if self._pool else None
        self._now = now
        self._breaker = Breaker(now)

    async def take(self, who: str, per_minute: int) -> Standing:
        """Count one request of *who*."""
        if self._shared and self._breaker.closed:
            try:
                return await self._take(self._shared, who, per_minute)
            except (RedisError, OSError) as error:
                self._breaker.trip()
                log.warning("limits.redis_unavailable", error=type(error).__name__, retry_in=AWAY_SECONDS)
        return _standing(*self._here.count(who), per_minute)

    def take_here(self, who: str, per_minute: int) -> Standing | None:
        """The same at once; None where counts are shared, which takes a while."""
        return None if self._shared else _standing(*self._here.count(who), per_minute)

    async def _take(self, storage: RedisStorage, who: str, per_minute: int) -> Standing:
        count = await storage.incr(who, WINDOW_SECONDS)
        return _standing(count, await storage.get_expiry(who) - self._now(), per_minute)

    async def close(self) -> None:
        if self._pool:
            await self._pool.disconnect()


class Failures:
    """Counts wrong keys by address, in this process: who tries too many is not even looked at."""

    def __init__(self, per_minute: int, now: Clock) -> None:
        self._per_minute = per_minute
        self._counters = Counters(now)
        self._now = now

    def blocked(self, address: str) -> int:
        """For how many seconds *address* has to wait; 0 when it need not."""
        if self._counters.seen(address) < self._per_minute:
            return 0
        return max(1, ceil(self._counters.end(address) - self._now()))

    def note(self, address: str) -> None:
        self._counters.count(address)


def _storage(pool: ConnectionPool) -> RedisStorage:
    return RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix="kasparro",
        connection_pool=pool,  # type: ignore[arg-type]  # handed on to redis-py
    )


def _standing(count: int, left: float, per_minute: int) -> Standing:
    return Standing(count <= per_minute, per_minute, max(0, per_minute - count), max(1, ceil(left)))


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Whom an address belongs to, as far as can be told: whoever has one IPv6 address has 2^64 of them."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)
