"""Places, turns and dataset versions."""

from __future__ import annotations

import asyncio

import pytest

from kasparro.storage.commit_order import CommitOrder, Stage

pytestmark = pytest.mark.anyio


async def test_a_turn_comes_when_the_batch_before_is_done():
    order = CommitOrder(committed=5)
    first, second = order.next_place(), order.next_place()
    assert (first, second) == (5, 6)
    await order.turn(first)
    waiting = asyncio.create_task(order.turn(second))
    await asyncio.sleep(0)
    assert not waiting.done()

    await order.done(first)

    await waiting


async def test_a_stage_is_gone_through_one_behind_the_other():
    order = CommitOrder()
    first, second = order.next_place(), order.next_place()
    seen = []

    async def go(place):
        for stage in (Stage.DATASET, Stage.RAW):
            async with order.in_turn(stage, place):
                seen.append((stage, place))
                await asyncio.sleep(0)

    await asyncio.gather(go(second), go(first))

    assert [place for stage, place in seen if stage is Stage.DATASET] == [first, second]
    assert [place for stage, place in seen if stage is Stage.RAW] == [first, second]
    assert seen.index((Stage.DATASET, second)) < seen.index((Stage.RAW, second))


async def test_a_batch_that_fails_in_a_stage_lets_the_next_one_pass_and_need_not_wait_when_it_comes_again():
    order = CommitOrder()
    first, second = order.next_place(), order.next_place()
    with pytest.raises(ZeroDivisionError):
        async with order.in_turn(Stage.RAW, first):
            raise ZeroDivisionError

    async with order.in_turn(Stage.RAW, second):
        pass

    async with order.in_turn(Stage.RAW, first):
        pass


async def test_versions_follow_the_places_and_skip_what_changes_nothing():
    order = CommitOrder(version=7)
    places = [order.next_place() for _ in range(3)]

    assert [order.version_at(place, changes=place != places[1]) for place in places] == [8, None, 9]


async def test_a_version_stays_with_its_place_however_often_the_batch_is_tried():
    order = CommitOrder()
    first, second = order.next_place(), order.next_place()
    assert order.version_at(first, changes=True) == 1
    assert order.version_at(second, changes=True) == 2

    assert order.version_at(first, changes=False) is None
    assert order.version_at(first, changes=True) == 1
