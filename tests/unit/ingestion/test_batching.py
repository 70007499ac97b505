"""Pages become hauls: nothing lost, nothing reordered, cursors only at page ends."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import PermanentSourceError, RunInterrupted
from kasparro.ingestion.batching import Pace, hauls
from kasparro.schemas.ingest import ApiOrigin, Notice, NoticeCode, Page, RawRecord

pytestmark = pytest.mark.anyio


async def pages_of(sizes, error=None):
    number = 0
    for index, size in enumerate(sizes):
        records = [RawRecord(str(number + i).encode(), ApiOrigin("u", index + 1, i)) for i in range(size)]
        number += size
        last = index == len(sizes) - 1 and error is None
        yield Page(records, None if last else {"after": number})
    if error is not None:
        raise error


async def gathered(sizes, batch, error=None, stop=None):
    found = []
    try:
        async for haul in hauls(pages_of(sizes, error), None, Pace(batch, 60.0), stop or asyncio.Event()):
            found.append(haul)  # noqa: PERF401  # what came before the failure counts
    except PermanentSourceError:
        found.append("failed")
    return found


@given(st.lists(st.integers(0, 7), min_size=1, max_size=12), st.integers(1, 9))
def test_every_record_is_handed_out_once_in_order_and_a_cursor_never_runs_ahead(sizes, batch):
    found = asyncio.run(gathered(sizes, batch))

    texts = [int(record.payload) for haul in found for record in haul.records]
    assert texts == list(range(sum(sizes)))
    assert all(len(haul.records) <= batch for haul in found)
    assert [haul.complete for haul in found] == [False] * (len(found) - 1) + [True]
    assert found[-1].cursor is None
    handed = 0
    for haul in found[:-1]:
        handed += len(haul.records)
        assert haul.cursor is None or haul.cursor["after"] <= handed


async def test_what_came_before_a_failure_is_handed_out_before_it_is_raised():
    found = await gathered([2, 2], 100, PermanentSourceError("x"))
    assert [len(haul.records) for haul in found[:-1]] == [4]
    assert found[0].cursor == {"after": 4}
    assert not found[0].complete
    assert found[-1] == "failed"


async def test_an_empty_source_completes():
    (haul,) = await gathered([0], 10)
    assert haul.complete
    assert not haul.records


async def test_memory_is_bounded_by_pages_ahead():
    handed = 0

    async def endless():
        nonlocal handed
        while True:
            handed += 1
            yield Page([RawRecord(b"1", ApiOrigin("u", 1, 0))], {"n": handed})

    stream = hauls(endless(), None, Pace(1, 60.0), asyncio.Event())
    await anext(stream)
    for _ in range(50):
        await asyncio.sleep(0)
    assert handed <= 6
    await stream.aclose()


async def test_a_whole_haul_is_fetched_while_the_one_before_is_at_work_and_no_more():
    handed = 0

    async def endless():
        nonlocal handed
        while True:
            handed += 1
            yield Page([RawRecord(b"1", ApiOrigin("u", 1, 0))], {"n": handed})

    stream = hauls(endless(), None, Pace(10, 60.0), asyncio.Event())
    await anext(stream)
    for _ in range(100):
        await asyncio.sleep(0)
    assert 20 <= handed <= 24
    await stream.aclose()


async def test_stop_ends_even_a_source_that_waits_for_ever():
    stop = asyncio.Event()
    closed = False

    async def waiting():
        nonlocal closed
        try:
            yield Page([RawRecord(b"1", ApiOrigin("u", 1, 0))], {"n": 1})
            await asyncio.Event().wait()
        finally:
            closed = True

    stream = hauls(waiting(), None, Pace(10, 60.0), stop)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    stop.set()
    assert len((await first).records) <= 1
    with pytest.raises(RunInterrupted):
        await anext(stream)
    assert closed


async def test_notices_go_with_their_page_and_once_even_before_a_failure():
    first, second = (Notice(NoticeCode.LATE_RECORDS, text) for text in ("one", "two"))

    async def pages():
        yield Page(
            [RawRecord(str(n).encode(), ApiOrigin("u", 1, n)) for n in range(3)], {"n": 1}, notices=[first]
        )
        yield Page([], {"n": 2}, notices=[second])
        raise PermanentSourceError("x")

    found = []

    async def gather():
        async for haul in hauls(pages(), None, Pace(2, 60.0), asyncio.Event()):
            found.append((len(haul.records), haul.notices))  # noqa: PERF401  # what came before the failure counts

    with pytest.raises(PermanentSourceError):
        await gather()
    assert found == [(2, (first,)), (1, (second,))]


async def test_pages_without_records_move_the_cursor_even_before_a_failure():
    found = await gathered([2, 0, 0], 2, PermanentSourceError("x"))

    assert [(len(haul.records), haul.cursor) for haul in found[:-1]] == [(2, {"after": 2}), (0, {"after": 2})]


async def test_pages_without_records_are_progress_that_is_handed_out_when_the_interval_is_over_or_the_source_fails():
    now = 0.0

    async def childless():
        nonlocal now
        for number in range(1, 7):
            yield Page((), {"n": number})
            now += 4.0
        raise PermanentSourceError("x")

    found = []
    with pytest.raises(PermanentSourceError):  # noqa: PT012  # what came before the failure counts
        async for haul in hauls(childless(), None, Pace(10, 10.0, lambda: now), asyncio.Event()):
            found.append((len(haul.records), haul.cursor, haul.complete))  # noqa: PERF401  # as above
    assert found[-1] == (0, {"n": 6}, False)
    assert [done for _, _, done in found] == [False] * len(found)
    assert len(found) < 6


async def test_who_stops_and_goes_while_a_page_is_being_given_up_is_not_kept_waiting():
    """The end of the fetching is told to nobody then: there is no room for it, and nobody makes any."""
    stop, giving_up, given_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pages():
        try:
            async for page in pages_of([2] * 20):
                yield page
        finally:
            giving_up.set()
            await given_up.wait()

    found = hauls(pages(), None, Pace(2, 60.0), stop)
    await anext(found)
    for _ in range(100):  # as much is fetched ahead as there is room for
        await asyncio.sleep(0)
    stop.set()
    await giving_up.wait()
    going = asyncio.create_task(found.aclose())
    for _ in range(100):
        await asyncio.sleep(0)
    given_up.set()
    done, _ = await asyncio.wait({going}, timeout=60)
    assert done
