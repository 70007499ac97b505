"""One thread for all that a run computes."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from kasparro.ingestion.run_thread import computed, run_thread

pytestmark = pytest.mark.anyio


async def test_everything_inside_shares_one_thread_tasks_included():
    with run_thread():
        names = await asyncio.gather(*(computed(threading.get_ident) for _ in range(5)))
        names.append(await asyncio.create_task(computed(threading.get_ident)))

    assert len(set(names)) == 1
    assert names[0] != threading.get_ident()


async def test_runs_have_threads_of_their_own_so_that_one_that_hangs_holds_up_nobody():
    released = threading.Event()

    async def hang():
        with run_thread():
            await computed(released.wait)

    hanging = asyncio.create_task(hang())
    with run_thread():
        assert await computed(len, "abc") == 3
    assert not hanging.done()
    released.set()
    await hanging


async def test_without_a_run_it_is_any_thread():
    assert await computed(threading.get_ident) != threading.get_ident()


async def test_errors_and_context_come_through():
    said = ContextVar("said")
    said.set("hello")
    with run_thread():
        assert await computed(said.get) == "hello"
        with pytest.raises(ZeroDivisionError):
            await computed(lambda: 1 / 0)
