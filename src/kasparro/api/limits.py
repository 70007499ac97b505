"""How many requests a minute: counted for each key or address in a sliding window, in this process or in a shared Redis.

`Limiter.take` is asked for every request. A Redis that is away is no reason to refuse, nor to let everybody in: this process
counts by itself until it is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 60
MOST_COUNTERS: Final = 100_000
"""Of this process. When there are more, those that are over go first, then the oldest."""

REDIS_SECONDS: Final = 0.25
"""How long a request waits for Redis."""

AWAY_SECONDS: Final = 5.0
"""How long a Redis that did not answer is not asked again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands with their limit. `reset` is in seconds, until there is more than `remaining`."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class Counters(MemoryStorage):
    """The library's counters, without its task and its walk over all of them at every request, and never too many."""

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if self.expirations.get(key, 0) <= now:
            self.storage.pop(key, None)
            self.expirations.pop(key, None)
            if len(self.expirations) >= MOST_COUNTERS:
                self._make_room(now)
            self.expirations[key] = now + expiry
        self.storage[key] += amount
        return self.storage[key]

    async def decr(self, key: str, amount: int = 1) -> int:
        self.storage[key] = max(self.storage[key] - amount, 0)
        return self.storage[key]

    def _make_room(self, now: float) -> None:
        over = [key for key, expires in self.expirations.items() if expires <= now]
        for key in over or list(self.expirations)[: MOST_COUNTERS // 10]:
            self.storage.pop(key, None)
            self.expirations.pop(key, None)


class Limiter:
    """Counts in Redis where there is one, else here."""

    def __init__(self, redis_url: str | None, monotonic: Callable[[], float]) -> None:
        self._here = SlidingWindowCounterRateLimiter(Counters())
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = SlidingWindowCounterRateLimiter(_storage(self._pool)) if self._pool else None
        self._monotonic = monotonic
        self._away_until = 0.0

    async def take(self, who: str, per_minute: int) -> Standing:
        """Count one request of *who*."""
        item = _item(per_minute)
        if self._shared and self._monotonic() >= self._away_until:
            try:
                return await _take(self._shared, item, who)
            except (RedisError, OSError) as error:
                self._away_until = self._monotonic() + AWAY_SECONDS
                log.warning("limits.redis_unavailable", error=type(error).__name__, retry_in=AWAY_SECONDS)
        return await _take(self._here, item, who)

    async def close(self) -> None:
        if self._pool:
            await self._pool.disconnect()


class Failures:
    """Counts wrong keys by address, in this process: who tries too many is not even looked at."""

    def __init__(self, per_minute: int) -> None:
        self._item = _item(per_minute)
        self._counts = SlidingWindowCounterRateLimiter(Counters())

    async def blocked(self, address: str) -> int:
        """For how many seconds *address* has to wait; 0 when it need not."""
        if await self._counts.test(self._item, address):
            return 0
        return _seconds_until((await self._counts.get_window_stats(self._item, address)).reset_time)

    async def note(self, address: str) -> None:
        await self._counts.hit(self._item, address)


async def _take(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, who: str) -> Standing:
    allowed = await limiter.hit(item, who)
    stats = await limiter.get_window_stats(item, who)
    return Standing(allowed, item.amount, stats.remaining, _seconds_until(stats.reset_time))


def _seconds_until(moment: float) -> int:
    return max(1, ceil(moment - time.time()))


@lru_cache(maxsize=1024)
def _item(per_minute: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(per_minute, namespace="kasparro")


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _storage(pool: ConnectionPool) -> RedisStorage:
    return RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix="kasparro",
        connection_pool=pool,  # type: ignore[arg-type]  # handed on to redis-py
    )


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
