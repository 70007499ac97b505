"""One thread for all that a run computes: a function in, its result out, with the event loop free meanwhile.

Two threads that compute only wait for each other's turn at the interpreter, and the loop, which feeds PostgreSQL, waits for both.
What waits for a network belongs into `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

_thread: ContextVar[Executor | None] = ContextVar("thread of the run", default=None)


@contextmanager
def run_thread() -> Iterator[None]:
    """Have everything that is `computed` inside, tasks made inside included, share a thread."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="run")
    token = _thread.set(executor)
    try:
        yield
    finally:
        _thread.reset(token)
        executor.shutdown(wait=False, cancel_futures=True)


async def computed(function: Callable[..., T], *args: object) -> T:
    """Call *function* in the thread of the run, or in any other where there is none."""
    call = copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_thread.get(), call, function, *args)
