"""Connections to the Redis or Valkey of REDIS_URL, with short deadlines: nobody waits long, and nobody asks one that is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

REDIS_SECONDS: Final = 0.25
"""How long a request waits for Redis."""

REDIS_CONNECTIONS: Final = 16
AWAY_SECONDS: Final = 5.0
"""How long a Redis that did not answer is not asked again."""

Clock = Callable[[], float]
"""Seconds."""


class Breaker:
    """Remembers that Redis did not answer."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._away_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether it may be asked."""
        return self._now() >= self._away_until

    def trip(self) -> None:
        self._away_until = self._now() + AWAY_SECONDS


def connections(url: str) -> ConnectionPool:
    return BlockingConnectionPool.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        max_connections=REDIS_CONNECTIONS,
        timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
