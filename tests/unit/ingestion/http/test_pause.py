from __future__ import annotations

import asyncio

import pytest

from kasparro.core.errors import TransientSourceError
from kasparro.ingestion.http.pause import Pause

pytestmark = pytest.mark.anyio


async def test_nothing_is_on_at_first():
    pause = Pause()
    await pause.over()
    assert not pause.on


async def test_a_pause_is_over_when_the_last_who_was_told_to_wait_has_waited():
    pause = Pause()
    with pause.held():
        with pause.held():
            waiting = asyncio.create_task(pause.over())
        await asyncio.sleep(0)
        assert pause.on
        assert not waiting.done()
    await waiting
    assert not pause.on


async def test_a_wait_that_is_cancelled_ends_the_pause():
    pause = Pause()

    async def wait():
        with pause.held():
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert pause.on
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not pause.on


async def test_after_a_refusal_nobody_passes_or_waits():
    pause = Pause()
    refusal = TransientSourceError("come back tomorrow", retry_after=86_400)
    with pause.held():
        waiting = asyncio.create_task(pause.over())
        await asyncio.sleep(0)
        pause.refuse(refusal)
        with pytest.raises(TransientSourceError, match="tomorrow"):
            await waiting
    assert pause.on
    with pytest.raises(TransientSourceError, match="tomorrow"):
        await pause.over()
