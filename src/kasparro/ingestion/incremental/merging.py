"""Several streams at once, as one: ways to open them in, their items as they come out. `pages` merges slices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Ended:
    """A worker has nothing more to do, or cannot go on."""

    error: Exception | None = None


async def merged(opened: Iterator[Callable[[], AsyncGenerator[Item]]], width: int) -> AsyncGenerator[Item]:
    """The items of all streams, *width* of which are open at a time; those of one stream in their order.

    When one fails, the others are closed, and what they have handed over is handed on before the error is raised.
    """
    queue: asyncio.Queue[Item | _Ended] = asyncio.Queue(width)
    workers = [asyncio.create_task(_work(opened, queue), name="slice") for _ in range(width)]
    failure: Exception | None = None
    try:
        at_work = width
        while at_work and failure is None:
            item = await queue.get()
            if isinstance(item, _Ended):
                at_work, failure = at_work - 1, item.error
            else:
                yield item
    finally:
        await _end(workers)
    while failure is not None and not queue.empty():
        item = queue.get_nowait()
        if not isinstance(item, _Ended):
            yield item
    if failure is not None:
        raise failure


async def _work(
    opened: Iterator[Callable[[], AsyncGenerator[Item]]], queue: asyncio.Queue[Item | _Ended]
) -> None:
    try:
        for open_stream in opened:
            async with aclosing(open_stream()) as stream:
                async for item in stream:
                    await queue.put(item)
    except Exception as error:  # noqa: BLE001  # a task boundary: whoever reads the queue raises it again
        await queue.put(_Ended(error))
    else:
        await queue.put(_Ended())


async def _end(workers: list[asyncio.Task[Any]]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
