"""Bodies too large to be held: handed on in blocks while they arrive. `client` calls it, `sources` has what takes them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from kasparro.core.errors import TransientSourceError
from kasparro.ingestion.http.body import MIB, BodyReader, Bounds

HELD: Final = 8 * MIB
"""Decoded bytes up to which a body is held as a whole."""

BLOCK: Final = MIB
"""Decoded bytes of a block; all but the last are as large, so what is made of a body does not depend on how it arrives."""


class BlockTaker(Protocol):
    """What takes the blocks of a body, in order."""

    bounds: Bounds

    async def take(self, block: bytes) -> None: ...


async def hand_on(body: BodyReader, taker: BlockTaker, timeout: float) -> None:  # noqa: ASYNC109  # of each block
    """Hand on all of *body*. Each block must arrive within *timeout* seconds; how long it takes to be taken does not count.

    So a server that sends a byte a second ends soon, and one that sends for hours does not.
    """
    body.bounds = taker.bounds
    while block := await _within(body, timeout):
        await taker.take(block)


async def _within(body: BodyReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await body.block(BLOCK)
    except TimeoutError as error:
        message = f"no further {BLOCK // MIB} MiB of a large answer within {seconds:g} s"
        raise TransientSourceError(message, hint="A longer `timeout` may help") from error
