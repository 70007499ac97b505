"""Several streams as one: their own order kept, so many open at a time, and all closed at the end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.incremental.merging import merged

pytestmark = pytest.mark.anyio


class Streams:
    def __init__(self, sizes, failing=()):
        self.sizes, self.failing = sizes, failing
        self.open = self.most = 0

    async def stream(self, number):
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for item in range(self.sizes[number]):
                await asyncio.sleep(0)
                yield number, item
            if number in self.failing:
                raise LookupError(number)
        finally:
            self.open -= 1

    def opened(self):
        return (partial(self.stream, number) for number in range(len(self.sizes)))


async def gathered(streams, width, most=None):
    found, failure = [], None
    async with aclosing(merged(streams.opened(), width)) as items:
        try:
            async for item in items:
                found.append(item)
                if len(found) == most:
                    break
        except LookupError as error:
            failure = error
    return found, failure


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 4))
def test_every_item_comes_once_and_those_of_a_stream_in_their_order(sizes, width):
    streams = Streams(sizes)
    found, _ = asyncio.run(gathered(streams, width))

    assert sorted(found) == [(number, item) for number, size in enumerate(sizes) for item in range(size)]
    for number in range(len(sizes)):
        assert [item for of, item in found if of == number] == list(range(sizes[number]))
    assert (streams.open, streams.most <= width) == (0, True)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=6), st.integers(1, 4), st.integers(0, 1))
def test_what_a_stream_gave_before_it_failed_is_handed_on_before_the_error(sizes, width, failing):
    streams = Streams(sizes, {failing})
    found, failure = asyncio.run(gathered(streams, width))

    assert isinstance(failure, LookupError)
    assert [item for of, item in found if of == failing] == list(range(sizes[failing]))
    assert streams.open == 0


async def test_who_stops_listening_closes_all_streams():
    streams = Streams([9, 9, 9, 9])
    found, _ = await gathered(streams, 3, most=2)

    assert (len(found), streams.open) == (2, 0)
