"""The end of a task of ours that is not needed any more."""

from __future__ import annotations

import asyncio
from typing import Any


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel *task* and wait for its end; raises what it has failed with.

    Whoever is cancelled himself meanwhile waits all the same, and then is: to suppress `CancelledError` would lose that.
    """
    task.cancel()
    ours: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            ours = error
    if ours is not None:
        raise ours
    if not task.cancelled():
        task.result()
