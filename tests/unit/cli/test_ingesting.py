import asyncio

import pytest

from kasparro.cli.ingesting import CONCURRENCY, run_each
from kasparro.core.errors import DatabaseUnavailable
from kasparro.schemas.ingest import RunCounters, RunReport, RunStatus

pytestmark = pytest.mark.anyio


def succeeded(source):
    return RunReport(f"run_{source}_1", source, RunStatus.SUCCESS, RunCounters(inserted=1), 1)


async def test_sources_end_in_the_order_they_were_named():
    async def run(source):
        await asyncio.sleep(0 if source == "b" else 0.01)
        return succeeded(source)

    ended = await run_each(["a", "b", "c"], run, asyncio.Event())

    assert [(one.source, one.failed) for one in ended] == [("a", False), ("b", False), ("c", False)]


async def test_only_so_many_run_at_once():
    running, most = 0, 0

    async def run(source):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return succeeded(source)

    await run_each([f"s{n}" for n in range(20)], run, asyncio.Event())

    assert most == CONCURRENCY


@pytest.mark.parametrize(
    ("error", "code"), [(DatabaseUnavailable("gone"), "database_unavailable"), (ZeroDivisionError(), "error")]
)
async def test_a_source_that_cannot_be_run_ends_no_other(error, code):
    async def run(source):
        if source == "bad":
            raise error
        return succeeded(source)

    bad, good = await run_each(["bad", "good"], run, asyncio.Event())

    assert (bad.failed, bad.code, bad.run_id) == (True, code, None)
    assert bad.message
    assert not good.failed


async def test_after_the_wish_to_stop_no_further_source_begins():
    stop = asyncio.Event()
    begun = []

    async def run(source):
        begun.append(source)
        stop.set()
        return succeeded(source)

    ended = await run_each([f"s{n}" for n in range(10)], run, stop)

    assert [one.source for one in ended] == begun
    assert len(begun) <= CONCURRENCY


@pytest.mark.parametrize("fails", [False, True])
async def test_a_source_begins_when_those_it_needs_have_ended_however_they_ended(fails):
    needs = {"notes": ["lines"], "lines": ["orders"], "other": ["not among these"]}
    order = []

    async def run(source):
        order.append(source)
        await asyncio.sleep(0.01 if source == "orders" else 0)
        order.append(source)
        if fails and source == "orders":
            raise DatabaseUnavailable("gone")
        return succeeded(source)

    names = ["notes", "lines", "other", *(f"s{n}" for n in range(CONCURRENCY)), "orders"]
    ended = await run_each(names, run, asyncio.Event(), lambda source: needs.get(source, ()))

    assert [one.source for one in ended] == names
    ofs = [source for source in order if source in ("notes", "lines", "orders")]
    assert ofs == ["orders", "orders", "lines", "lines", "notes", "notes"]


async def test_sources_that_wait_for_others_do_not_begin_after_the_wish_to_stop():
    stop = asyncio.Event()

    async def run(source):
        stop.set()
        return succeeded(source)

    ended = await run_each(["child", "parent"], run, stop, lambda source: ["parent"] * (source == "child"))

    assert [one.source for one in ended] == ["parent"]
