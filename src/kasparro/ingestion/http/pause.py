"""The rest a source asks for, kept by all requests to it: the one that was told waits in `held`, the others in `over`."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from kasparro.core.errors import TransientSourceError


class Pause:
    """Of one client. Nothing is on at first."""

    def __init__(self) -> None:
        self._holders = 0
        self._free = asyncio.Event()
        self._free.set()
        self._refusal: TransientSourceError | None = None

    @property
    def on(self) -> bool:
        return self._holders > 0 or self._refusal is not None

    @contextmanager
    def held(self) -> Generator[None]:
        """As long as this lasts, nothing is asked."""
        self._holders += 1
        self._free.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._free.set()

    def refuse(self, error: TransientSourceError) -> None:
        """Nothing is asked any more: nobody waits for as long as the source asks for."""
        self._refusal = error
        self._free.set()

    async def over(self) -> None:
        """Wait for the end of a pause. Raises what the source was refused with."""
        await self._free.wait()
        if self._refusal is not None:
            raise self._refusal
