"""Brings an embedded server back that died while somebody still uses it. `core.database` keeps one beside each server it starts.

Any client does this, and the locks let one of them succeed; the others find the server running again.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import structlog

from kasparro.core.embedded.server import EmbeddedPostgres
from kasparro.core.errors import EmbeddedServerError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0


class Keeper:
    """Looks after *server* in a thread of its own, for as long as the context lasts."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="embedded server", daemon=True)
        self._failing = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if not self._server.alive:
                self._bring_back()

    def _bring_back(self) -> None:
        try:
            self._server.start()
        except EmbeddedServerError as error:
            if not self._failing:
                log.warning("embedded.not_restarted", reason=str(error))
            self._failing = True
        else:
            self._failing = False
            log.warning("embedded.restarted", reason="its processes had ended while it was in use")
