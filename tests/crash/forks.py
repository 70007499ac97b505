"""Victims, forked from a server that has imported everything: a tenth of a second each instead of a whole start."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from crash import victim
from crash.victim import Orders

CONTEXT = multiprocessing.get_context("forkserver")
PATIENCE = 60.0
STATE = 2
"""Of the fields behind the name in /proc/PID/stat, after the bracket: `T` is stopped."""


def warm_up() -> None:
    """Start the server. It looks for the modules it imports beforehand where PYTHONPATH says, and nowhere else."""
    CONTEXT.set_forkserver_preload(["crash.victim"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
        forkserver.ensure_running()


class Victim:
    """A process under orders. Its exit code is negative for a signal."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._process: BaseProcess = CONTEXT.Process(target=victim.run, args=(orders,))

    def start(self) -> Victim:
        warm_up()
        self._process.start()
        return self

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def ended(self) -> int:
        """Wait for the end; whoever takes longer hangs, and is killed."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ready.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await ready.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
            if not ready.is_set():
                self.kill()
            self._process.join()
            code = self._process.exitcode
            self._process.close()
        assert code is not None
        return code

    def joined(self) -> int:
        """As `ended`, for those who have no event loop."""
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None, "it hangs"
        return self._process.exitcode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def stopped(self) -> None:
        """Wait until it has stopped itself."""
        async with asyncio.timeout(PATIENCE):
            while self._state() != "T":  # noqa: ASYNC110  # nobody tells when a process stops but its parent
                await asyncio.sleep(0.01)

    async def stopped_or_ended(self) -> bool:
        """Whether it has stopped itself; False when it came to its end before."""
        async with asyncio.timeout(PATIENCE):
            while self._state() not in "TZX":  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.01)
        return self._state() == "T"

    def _state(self) -> str:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return "X"  # gone, and nobody's child any more
        return stat.rpartition(")")[2].split()[0]

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def said(self) -> str:
        log = Path(self.orders.log)
        return log.read_text() if log.exists() else ""
