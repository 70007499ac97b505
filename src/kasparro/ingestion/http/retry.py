"""Requests tried again: what may fail for a passing reason in, its result or its last error out.

Only a `TransientSourceError` is tried again, after base, 2 x base, 4 x base ... (with jitter, never above `max`), and never
earlier than the source asks for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import structlog

from kasparro.core import clock
from kasparro.core.errors import TransientSourceError
from kasparro.core.etl_config import Retry

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


async def with_retries(attempt: Callable[[], Awaitable[T]], policy: Retry, waiting: Waiting) -> T:
    """Do *attempt* until it succeeds, `policy.attempts` times at most."""
    number = 1
    while True:
        try:
            return await attempt()
        except TransientSourceError as error:
            wait = wait_before(number + 1, policy, error.retry_after, waiting.chance())
            if number >= policy.attempts or (error.retry_after or 0.0) > LONGEST_ASKED:
                error.tried_enough = True
                raise
            log.warning(
                "request.retry",
                url=error.place,
                attempt=number,
                of=policy.attempts,
                wait_s=round(wait, 3),
                reason=error.message.removeprefix(f"{error.place}: "),
            )
        await waiting.sleep(wait)
        number += 1


def wait_before(attempt: int, policy: Retry, asked: float | None, chance: float) -> float:
    """Seconds to wait before *attempt* (2 is the first one that waits); *chance* is from 0 to 1."""
    doubled = policy.base.total_seconds() * 2.0 ** (attempt - 2)
    return max(asked or 0.0, min(policy.max.total_seconds(), doubled * (1 + _JITTER * chance)))
