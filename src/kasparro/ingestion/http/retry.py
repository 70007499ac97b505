"""Requests tried again: what may fail for a passing reason in, its result or its last error out.

Only a `TransientSourceError` is tried again, after base, 2 x base, 4 x base ... (with jitter, never above `max`), and never
earlier than the source asks for. What it asks for holds for all requests to it: see `pause`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import structlog

from kasparro.core import clock
from kasparro.core.errors import TransientSourceError
from kasparro.core.etl_config import Retry
from kasparro.ingestion.http.pause import Pause

log = structlog.get_logger(__name__)

LONGEST_ASKED: Final = 600.0
"""A source that asks for a longer rest than this, in seconds, is not waited for within the request."""

_JITTER: Final = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Time, sleep and chance; tests pass their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], datetime] = clock.now
    chance: Callable[[], float] = field(default=random.random)


async def with_retries(
    attempt: Callable[[], Awaitable[T]], policy: Retry, waiting: Waiting, pause: Pause
) -> T:
    """Do *attempt* until it succeeds, `policy.attempts` times at most. *pause* holds up the other requests to the source."""
    number = 1
    while True:
        try:
            return await attempt()
        except TransientSourceError as error:
            asked = error.retry_after or 0.0
            wait = wait_before(number + 1, policy, asked, waiting.chance())
            if error.tried_enough or number >= policy.attempts or asked > LONGEST_ASKED:
                error.tried_enough = True
                if asked:
                    pause.refuse(error)
                raise
            log.warning(
                "request.retry",
                url=error.place,
                attempt=number,
                of=policy.attempts,
                wait_s=round(wait, 3),
                reason=error.message.removeprefix(f"{error.place}: "),
            )
        with pause.held() if asked else nullcontext():
            await waiting.sleep(wait)
        number += 1


def wait_before(attempt: int, policy: Retry, asked: float, chance: float) -> float:
    """Seconds to wait before *attempt* (2 is the first one that waits); *chance* is from 0 to 1."""
    doubled = policy.base.total_seconds() * 2.0 ** (attempt - 2)
    return max(asked, min(policy.max.total_seconds(), doubled * (1 + _JITTER * chance)))
