from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from kasparro.core.errors import AuthenticationFailed, TransientSourceError
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.tokens import Slot, Token, TokenCache, TokenKeeper

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


@dataclass
class Endpoint:
    """Gives out a new token each time it is asked, or fails as it is told; `open` lets answers through."""

    failures: list[Exception] = field(default_factory=list)
    asked: int = 0
    lifetime: timedelta | None = None

    def __post_init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def obtain(self) -> Token:
        self.asked += 1
        number = self.asked
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        expires = None if self.lifetime is None else NOW + self.lifetime
        return Token(Credentials("", headers={"Authorization": str(number)}), NOW, expires)

    def keeper(self, slot: Slot | None = None) -> TokenKeeper:
        return TokenKeeper(self.obtain, slot or Slot(TokenCache(), "s", "w"), lambda: NOW)


async def test_everybody_who_waits_gets_the_one_token_that_is_asked_for():
    endpoint = Endpoint()
    keeper = endpoint.keeper()
    endpoint.open.clear()
    waiting = [asyncio.create_task(keeper.current()) for _ in range(10)]
    await asyncio.sleep(0)
    endpoint.open.set()
    assert len({id(token) for token in await asyncio.gather(*waiting)}) == 1
    assert endpoint.asked == 1


async def test_everybody_who_waits_shares_the_failure_and_who_comes_later_asks_again():
    failure = TransientSourceError("down")
    endpoint = Endpoint(failures=[failure])
    keeper = endpoint.keeper()
    endpoint.open.clear()
    waiting = [asyncio.create_task(keeper.current()) for _ in range(10)]
    await asyncio.sleep(0)
    endpoint.open.set()
    assert await asyncio.gather(*waiting, return_exceptions=True) == [failure] * 10
    assert endpoint.asked == 1
    await keeper.current()
    assert endpoint.asked == 2


async def test_who_waits_for_one_that_gave_up_asks_instead():
    endpoint = Endpoint()
    keeper = endpoint.keeper()
    endpoint.open.clear()
    first, second = (asyncio.create_task(keeper.current()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    endpoint.open.set()
    assert (await second).credentials.headers == {"Authorization": "2"}
    assert first.cancelled()


async def test_a_refused_token_is_renewed_once_for_all_who_had_it():
    endpoint = Endpoint()
    keeper = endpoint.keeper()
    refused = await keeper.current()
    renewed = await asyncio.gather(*(keeper.instead_of(refused, AuthenticationFailed()) for _ in range(4)))
    assert {id(token) for token in renewed} == {id(await keeper.current())}
    assert endpoint.asked == 2


async def test_one_that_was_never_accepted_is_not_renewed():
    endpoint = Endpoint()
    keeper = endpoint.keeper()
    second = await keeper.instead_of(await keeper.current(), AuthenticationFailed())
    refusal = AuthenticationFailed("not this one either")
    with pytest.raises(AuthenticationFailed, match="not this one either"):
        await keeper.instead_of(second, refusal)
    assert endpoint.asked == 2


async def test_one_that_was_accepted_and_is_refused_later_is_renewed():
    endpoint = Endpoint()
    keeper = endpoint.keeper()
    token = await keeper.current()
    for _ in range(3):
        token = await keeper.instead_of(token, AuthenticationFailed())
        keeper.accepted(token)
    assert endpoint.asked == 4


async def test_a_token_is_found_by_who_asks_in_the_very_same_way():
    endpoint, cache = Endpoint(), TokenCache()
    await endpoint.keeper(Slot(cache, "s", "one way")).current()
    await endpoint.keeper(Slot(cache, "s", "one way")).current()
    assert endpoint.asked == 1
    for slot in (Slot(cache, "s", "another way"), Slot(cache, "other", "one way")):
        await endpoint.keeper(slot).current()
    assert endpoint.asked == 3


@pytest.mark.parametrize(
    ("lifetime", "good_for"), [(3600, 3540), (600, 540), (100, 90), (10, 9), (1, 0.9), (None, 10**8)]
)
def test_a_token_is_due_a_little_before_it_expires(lifetime, good_for):
    token = Token(Credentials(""), NOW, None if lifetime is None else NOW + timedelta(seconds=lifetime))
    assert not token.is_due(NOW + timedelta(seconds=good_for, microseconds=-1))
    assert lifetime is None or token.is_due(NOW + timedelta(seconds=good_for))


def test_a_token_does_not_show_itself():
    token = Token(Credentials("said", headers={"Authorization": "hidden"}, secrets=("hidden",)), NOW)
    assert "hidden" not in repr(token)
