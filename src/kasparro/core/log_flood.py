"""Logs at most one line a second of a kind: what somebody outside can cause must not fill a disk."""

from __future__ import annotations

import logging
from collections.abc import Callable

MOST_KINDS = 100


class OncePerSecond(logging.Filter):
    """Lets the first line of a kind pass, and after a second the next one, which tells how many were left out.

    A kind is the text before its values are put in, up to its first line break.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._passed: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg).partition("\n")[0][:200]
        now = self._monotonic()
        if now - self._passed.get(kind, now - 1) < 1:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        if len(self._passed) >= MOST_KINDS:
            self._passed.clear()
        self._passed[kind] = now
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.msg} ({left_out} more like this before)"
        return True
