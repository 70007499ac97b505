"""A PostgreSQL of a test's own, to be killed, restarted and filled up."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kasparro.core.embedded import EmbeddedPostgres
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.processes import all_on, read_postmaster_file
from scratch import SCRATCH

PATIENCE = 60.0


class Cluster:
    """The server, as somebody with root on its machine would treat it."""

    def __init__(self, folder: Path) -> None:
        self.data = Layout.within(folder).data
        self._server = EmbeddedPostgres(folder)  # not a throwaway one: that may forget what it has committed
        self._server.start()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pids(self) -> list[int]:
        return all_on(self.data)

    @property
    def postmaster(self) -> int:
        state = read_postmaster_file(self.data)
        assert state is not None
        return state.pid

    def kill(self) -> None:
        """SIGKILL every process, and wait until none is left."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait_until_gone()

    def stop(self, how: signal.Signals) -> None:
        """SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        os.kill(self.postmaster, how)
        self._wait_until_gone()

    def start(self) -> None:
        self._server.start()

    def close(self) -> None:
        self._server.close()
        self._wait_until_gone()

    def _wait_until_gone(self) -> None:
        give_up = time.monotonic() + PATIENCE
        while self.pids:
            assert time.monotonic() < give_up, f"still there: {self.pids}"
            time.sleep(0.01)


@contextmanager
def own_cluster(given: Path | None = None) -> Iterator[Cluster]:
    folder = given or Path(tempfile.mkdtemp(prefix="kasparro-crash-", dir=SCRATCH))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    cluster = Cluster(folder / "data")
    try:
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
