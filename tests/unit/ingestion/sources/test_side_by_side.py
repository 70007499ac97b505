from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from kasparro.core.errors import PermanentSourceError
from kasparro.ingestion.sources.side_by_side import side_by_side
from kasparro.schemas.ingest import Page

pytestmark = pytest.mark.anyio


class Sequences:
    """So many pages in each; sequence *fails* ends with an error after its pages. It counts those that are open."""

    def __init__(self, *lengths, fails=None):
        self.lengths = lengths
        self.fails = fails
        self.begun = 0
        self.open = 0
        self.most = 0

    async def following(self):
        if self.begun == len(self.lengths):
            return None
        self.begun += 1
        return partial(self.sequence, self.begun - 1)

    async def sequence(self, number):
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for page in range(self.lengths[number]):
                await asyncio.sleep(0)
                yield Page((), {"at": (number, page)})
            if number == self.fails:
                raise PermanentSourceError(f"sequence {number}")
        finally:
            self.open -= 1


async def read(sequences, most):
    async with aclosing(side_by_side(sequences.following, most)) as pages:
        return [page.cursor["at"] async for page in pages]


@pytest.mark.parametrize("most", [1, 2, 3, 50])
async def test_pages_come_in_the_order_of_their_sequences_and_so_many_are_read_at_once(most):
    sequences = Sequences(3, 0, 1, 7, 2, 2)
    assert await read(sequences, most) == [
        (n, p) for n, count in enumerate(sequences.lengths) for p in range(count)
    ]
    assert sequences.most <= most
    assert sequences.open == 0


async def test_none_at_all_is_an_end():
    assert await read(Sequences(), 3) == []


async def test_an_error_waits_for_its_turn_and_ends_the_others():
    sequences = Sequences(5, 1, 100, 100, fails=1)
    came = []
    with pytest.raises(PermanentSourceError, match="sequence 1"):  # noqa: PT012  # what came before it counts
        async with aclosing(side_by_side(sequences.following, 4)) as pages:
            async for page in pages:
                came.append(page.cursor["at"])  # noqa: PERF401  # what came before the error counts
    assert came == [*((0, n) for n in range(5)), (1, 0)]
    assert sequences.open == 0


async def test_closing_closes_every_sequence_and_leaves_no_task():
    before = asyncio.all_tasks()
    sequences = Sequences(100, 100, 100)
    pages = side_by_side(sequences.following, 3)
    await anext(pages)
    await pages.aclose()
    assert sequences.open == 0
    assert asyncio.all_tasks() == before


async def test_a_sequence_rests_while_nobody_takes_its_pages():
    sequences = Sequences(1000, 1000)
    pages = side_by_side(sequences.following, 2)
    async with aclosing(pages):
        await anext(pages)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sequences.most == 2
