"""Answers that several instances of one deployment share, in the Redis or Valkey of REDIS_URL.

They are found by question and stamp, so none is ever out of date; they go by their age. A Redis that is away, slow or full costs
a question to the database and never an error.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import Final

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kasparro.api.answer_cache import Kept
from kasparro.api.redis_connections import AWAY_SECONDS, Breaker, Clock, connections
from kasparro.api.validators import FORM

log = structlog.get_logger(__name__)

LARGEST: Final = 1 << 20
"""Bytes of an answer that is shared."""
SECONDS: Final = 900
"""How long an answer that nobody replaces stays there."""
DECODER: Final = msgspec.msgpack.Decoder(Kept)
ENCODER: Final = msgspec.msgpack.Encoder()


class SharedCache:
    def __init__(self, url: str, now: Clock) -> None:
        self._pool = connections(url)
        self.redis = Redis(connection_pool=self._pool)
        self._breaker = Breaker(now)
        self.storing: set[asyncio.Task[None]] = set()
        self.hits = 0
        self.faults = 0

    async def get(self, dataset: str, asked: bytes, stamp: str) -> Kept | None:
        """The answer to *asked* from the state of *stamp* of a *dataset*; None when it is not there, or cannot be had."""
        if not self._breaker.closed:
            return None
        try:
            found = await self.redis.get(_name(dataset, asked, stamp))
            kept = DECODER.decode(found) if isinstance(found, bytes) else None
        except (RedisError, OSError, msgspec.DecodeError) as error:
            self._fault(error)
            return None
        if kept is None or kept.stamp != stamp:
            return None
        self.hits += 1
        return kept

    def put(self, dataset: str, asked: bytes, kept: Kept) -> None:
        """Share *kept*, without waiting for it."""
        if kept.size > LARGEST or not self._breaker.closed:
            return
        storing = asyncio.create_task(self._store(_name(dataset, asked, kept.stamp), kept))
        self.storing.add(storing)
        storing.add_done_callback(self.storing.discard)

    async def close(self) -> None:
        if self.storing:
            await asyncio.wait(set(self.storing))
        await self._pool.disconnect()

    async def _store(self, name: str, kept: Kept) -> None:
        try:
            await self.redis.set(name, ENCODER.encode(kept), ex=SECONDS)
        except (RedisError, OSError) as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        self.faults += 1
        self._breaker.trip()
        log.warning("cache.redis_unavailable", error=type(error).__name__, retry_in=AWAY_SECONDS)


def _name(dataset: str, asked: bytes, stamp: str) -> str:
    """Two datasets, or two forms of answers, have no name in common."""
    digest = blake2b(f"{FORM}\0{dataset}\0{stamp}\0".encode() + asked, digest_size=20)
    return f"kasparro/answer/{digest.hexdigest()}"
