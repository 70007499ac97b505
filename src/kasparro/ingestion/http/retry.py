"""Requests tried again: what may fail for a passing reason in, its result or its last error out.

Only a `TransientSourceError` is tried again: within base, 2 x base, 4 x base ..., by chance and never above `max`; not earlier
than the source asks for, which holds for all requests to it (see `gate`); and not once it has failed for `total`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from kasparro.core.errors import TransientSourceError
from kasparro.core.etl_config import Retry
from kasparro.ingestion.http.gate import Gate, Waiting

__all__ = ["Waiting", "wait_before", "with_retries"]

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def with_retries(attempt: Callable[[], Awaitable[T]], policy: Retry, waiting: Waiting, gate: Gate) -> T:
    """Do *attempt* until it succeeds, `policy.attempts` times at most; once where the source is only probed.

    Raises the last error, or `SourceParked` when the source asks for a rest longer than a run waits.
    """
    failing_since, number = None, 1
    while True:
        try:
            return await attempt()
        except TransientSourceError as error:
            asked = error.retry_after or 0.0
            if asked:
                await gate.rest(asked)
                gate.park_if_resting()
            wait = wait_before(number + 1, policy, asked, waiting.chance())
            failing_since = waiting.monotonic() if failing_since is None else failing_since
            late = waiting.monotonic() - failing_since + wait > policy.total.total_seconds()
            if error.tried_enough or gate.probing or late or number >= policy.attempts:
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


def wait_before(attempt: int, policy: Retry, asked: float, chance: float) -> float:
    """Seconds to wait before *attempt* (2 is the first that waits): anywhere up to the doubled base, by *chance* from 0 to 1."""
    doubled = min(policy.max.total_seconds(), policy.base.total_seconds() * 2.0 ** (attempt - 2))
    return max(asked, doubled * (1.0 - chance))
