from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kasparro.api.key_ring import KeyRing
from kasparro.core.config import Scope
from kasparro.core.errors import DatabaseTimeout, DatabaseUnavailable
from kasparro.schemas.keys import ActiveKey, digest_of, new_key, prefix_of

KEY = new_key()


class Store:
    """A table in memory that counts how often it is read, and can be away."""

    def __init__(self) -> None:
        self.keys = [ActiveKey(prefix_of(KEY), digest_of(KEY.encode()), Scope.READ, 7, None)]
        self.reads = 0
        self.away = False
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def active(self):
        self.reads += 1
        await self.hangs.wait()
        if self.away:
            raise DatabaseTimeout
        return self.keys


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds + 1000

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ring(store, time) -> KeyRing:
    return KeyRing(store, time.monotonic, time.now)


pytestmark = pytest.mark.anyio


async def test_a_known_key_is_its_owner(ring):
    caller = await ring.verify(KEY.encode())

    assert (caller.name, caller.scopes, caller.per_minute) == (prefix_of(KEY), {Scope.READ}, 7)


async def test_the_table_is_read_once_in_two_seconds_however_many_ask(ring, store, time):
    await asyncio.gather(*(ring.verify(KEY.encode()) for _ in range(100)))
    time.seconds = 1.9
    await ring.verify(KEY.encode())
    assert store.reads == 1

    time.seconds = 2.0
    await ring.verify(KEY.encode())
    assert store.reads == 2


async def test_a_revoked_key_is_gone_after_two_seconds(ring, store, time):
    await ring.verify(KEY.encode())
    store.keys = []
    time.seconds = 2.0

    assert await ring.verify(KEY.encode()) is None


async def test_a_key_that_expires_between_two_reads_is_refused_at_once(ring, store, time):
    store.keys = [
        ActiveKey(
            prefix_of(KEY), digest_of(KEY.encode()), Scope.READ, None, time.now() + timedelta(seconds=1)
        )
    ]
    assert await ring.verify(KEY.encode()) is not None
    time.seconds = 1.0

    assert await ring.verify(KEY.encode()) is None


async def test_what_is_not_of_our_making_costs_no_question(ring, store):
    for secret in (b"", b"read-secret-1", b"a.b.c", b"\xff\x00", KEY.encode()[:-1], KEY.encode() + b"\n"):
        assert await ring.verify(secret) is None
    assert store.reads == 0


async def test_without_a_fresh_copy_nobody_is_let_in(ring, store, time):
    await ring.verify(KEY.encode())
    store.away = True
    time.seconds = 2.0

    with pytest.raises(DatabaseUnavailable):
        await ring.verify(KEY.encode())


async def test_a_database_that_is_away_is_not_asked_by_every_request(ring, store, time):
    store.away = True
    for _ in range(10):
        with pytest.raises(DatabaseUnavailable):
            await ring.verify(KEY.encode())
    assert store.reads == 1

    store.away = False
    time.seconds = 1.0
    assert await ring.verify(KEY.encode()) is not None


async def test_a_database_that_hangs_is_not_waited_for(store, time):
    ring = KeyRing(store, time.monotonic, time.now, patience=0.01)
    store.hangs.clear()

    with pytest.raises(DatabaseUnavailable):
        await ring.verify(KEY.encode())
    store.hangs.set()
    await ring.close()
    assert await ring.verify(KEY.encode()) is not None
    assert store.reads == 1
