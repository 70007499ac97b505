"""Ctrl-C and SIGTERM: the first asks for an orderly end, the next ends it for good. Used by every command that runs for long."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any, Final

from kasparro.core.errors import KasparroError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SIGNAL_EXIT: Final = 128
"""What a shell adds to the number of a signal to make an exit code of it."""


class Second(StrEnum):
    """What the second signal does. After `cancel`, a third one exits."""

    CANCEL = "cancel"
    EXIT = "exit"


class Stop:
    """The wish to end: `event` is set by the first signal, `exit_code` tells which it was."""

    def __init__(self, second: Second) -> None:
        self.event = asyncio.Event()
        self._task = asyncio.current_task()
        self._next: list[Callable[[], None]] = [self.event.set]
        if second is Second.CANCEL:
            self._next.append(self._cancel)
        self._first: signal.Signals | None = None

    @property
    def exit_code(self) -> int | None:
        return None if self._first is None else SIGNAL_EXIT + self._first

    def receive(self, received: signal.Signals) -> None:
        self._first = self._first or received
        if not self._next:
            sys.stderr.flush()
            os._exit(SIGNAL_EXIT + received)
        self._next.pop(0)()

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()


async def until_stopped(name: str, work: Awaitable[None], stop: asyncio.Event) -> None:
    """Await *work*, which is to last until *stop* is set. Raises KasparroError when it ends before."""
    await work
    if not stop.is_set():
        raise KasparroError(f"the {name} ended by itself", hint="The log above says why")


Work = Callable[[Stop], Coroutine[Any, Any, int]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run_stoppable(work: Work, second: Second, loop_factory: LoopFactory | None = None) -> int:
    """Do *work* in an event loop and return its exit code, or the signal's when there was one."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_listening(work, second))


async def _listening(work: Work, second: Second) -> int:
    stop = Stop(second)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.receive, number)
    try:
        code = await work(stop)
    except asyncio.CancelledError:
        if stop.exit_code is None:
            raise
        return stop.exit_code
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    return code if stop.exit_code is None else stop.exit_code
