"""An event loop in a thread of its own: what is written for `asyncio`, used from code that blocks, and interrupted by a third."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from kasparro.core.errors import SourceError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines one after the other. Called from any thread but its own; `close` may be called twice."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kasparro-files", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return not self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for what *coroutine* returns or raises."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except concurrent.futures.CancelledError as error:
            raise SourceError("reading was ended from outside") from error

    def interrupt(self) -> None:
        """End what `run` is waiting for, if there is something."""
        if self.is_open:
            self._loop.call_soon_threadsafe(self._cancel_all)

    def close(self) -> None:
        if not self.is_open:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
