"""Tell when a commit changed the dataset: PostgreSQL's NOTIFY, to be fast. Who listens polls as well, to be right."""

from __future__ import annotations

from collections.abc import Callable

from kasparro.storage.job_notices import listen_to
from kasparro.storage.writes import CHANNEL


async def listen(url: str, notify: Callable[[str | None], None]) -> None:
    """Call *notify* with the source of every commit, until cancelled; with none when there may have been any.

    Raises `StorageError` when the connection is lost.
    """

    def tell(payload: str) -> None:
        notify(payload.rpartition(":")[0] or None)

    await listen_to(url, CHANNEL, tell)
