"""The events that come by the thousand: one line a request. What is in them is known to hold nothing to hide or to shorten, so
they need no walk through the pipeline of `logging_config`; the line is the one it would have written.

Where lines are not JSON, or somebody else listens as well, the pipeline is what they go through.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from kasparro.core import clock, logging_config

ENCODER: Final = msgspec.json.Encoder()


class PlainEvents:
    """The events of one logger. Lines of the same moment have the same time and are written together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger = logging.getLogger(name)
        self._log = structlog.get_logger(name)
        self._lines: list[dict[str, str | float | None]] = []
        self._time = ""

    def info(self, event: str, request_id: str, values: Mapping[str, str | float | None]) -> None:
        """Log *event*. The *values* are ours: numbers, and names out of small sets."""
        if not self._lines:  # of the others of this moment it is known
            if not logging_config.writes_json_alone() or not self._logger.isEnabledFor(logging.INFO):
                self._log.info(event, request_id=request_id, **values)
                return
            asyncio.get_running_loop().call_soon(self._write)
            self._time = clock.now().isoformat().replace("+00:00", "Z")
        self._lines.append(
            {
                "time": self._time,
                "level": "info",
                "event": event,
                **values,
                "request_id": request_id,
                "logger": self._name,
            }
        )

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        try:
            sys.stderr.write(ENCODER.encode_lines(lines).decode())
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # stderr is gone, and there is nowhere to say so
