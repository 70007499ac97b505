import asyncio
import os
import signal
import subprocess
import sys

import pytest

from kasparro.cli.stopping import Second, run_stoppable, until_stopped
from kasparro.core.errors import KasparroError


def send(number):
    os.kill(os.getpid(), number)


def test_work_that_ends_by_itself_gives_its_exit_code():
    async def work(stop):
        return 7

    assert run_stoppable(work, Second.CANCEL) == 7


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_an_orderly_end(number, code):
    finished = []

    async def work(stop):
        send(number)
        await stop.event.wait()
        finished.append(True)
        return 0

    assert run_stoppable(work, Second.CANCEL) == code
    assert finished == [True]


def test_the_second_signal_cancels_and_the_first_one_decides_the_exit_code():
    undone = []

    async def work(stop):
        try:
            send(signal.SIGTERM)
            await stop.event.wait()
            send(signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            undone.append(True)

    assert run_stoppable(work, Second.CANCEL) == 143
    assert undone == [True]


@pytest.mark.parametrize(("second", "signals"), [("EXIT", 2), ("CANCEL", 3)])
def test_whoever_insists_ends_the_process_at_once(second, signals):
    code = f"""
import asyncio, os, signal
from kasparro.cli.stopping import Second, run_stoppable

async def work(stop):
    while True:
        for _ in range({signals}):
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

run_stoppable(work, Second.{second})
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)

    assert (ended.returncode, ended.stderr) == (143, b"")


def test_an_error_during_the_end_is_not_hidden():
    async def work(stop):
        send(signal.SIGINT)
        await stop.event.wait()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_stoppable(work, Second.CANCEL)


def test_afterwards_ctrl_c_is_what_it_was_before():
    before = signal.getsignal(signal.SIGINT)

    async def work(stop):
        return 0

    run_stoppable(work, Second.EXIT)

    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.anyio
async def test_what_should_last_and_ends_by_itself_is_an_error():
    stop = asyncio.Event()

    async def work():
        return None

    with pytest.raises(KasparroError, match="the worker ended by itself"):
        await until_stopped("worker", work(), stop)
    stop.set()
    await until_stopped("worker", work(), stop)
