"""The embedded PostgreSQL as its clients see it: a URL, `start`, `close`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from kasparro.core.embedded.accounts import Account, server_account
from kasparro.core.embedded.binaries import executable_by, find_binaries
from kasparro.core.embedded.cluster import DATABASE, SUPERUSER, Workplace, clear_remains, ensure_cluster
from kasparro.core.embedded.directories import make_base, make_for
from kasparro.core.embedded.launch import START_SECONDS, launch
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.locks import FileLock, attempts
from kasparro.core.embedded.processes import (
    accepts_connections,
    all_on,
    ask_postmaster_to_stop,
    end_all,
    read_postmaster_file,
    works_on,
)
from kasparro.core.embedded.supervisor import SHUTDOWN_SECONDS
from kasparro.core.errors import EmbeddedServerError

GRACE_SECONDS = 10.0
# Without a postmaster its processes end at once, but for those in the middle of a computation.
ORPHAN_SECONDS = 1.0


class EmbeddedPostgres:
    """One PostgreSQL per data directory, shared by every process that has started it and not yet closed it or died.

    With *throwaway* nothing is synchronised to disk: for tests, whose data need not survive the machine.
    """

    def __init__(self, data_dir: Path, *, throwaway: bool = False) -> None:
        self._layout = Layout.within(data_dir)
        self._throwaway = throwaway
        self._lease = FileLock(self._layout.clients_lock, shared=True)
        self.url = f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(self._layout.sockets))}"

    def start(self) -> None:
        """Take a lease, and start the server unless it runs; once more brings back one that died.

        Raises EmbeddedServerError, and then holds no lease.
        """
        try:
            self._start()
        except OSError as error:
            self.close()
            raise EmbeddedServerError(
                f"the embedded PostgreSQL cannot be started in {self._layout.base}: {error}",
                hint="Set KASPARRO_DATA_DIR to a directory on a local disk that you can write, "
                "or DATABASE_URL to a running server",
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether there is a postmaster; it may be starting up or recovering."""
        state = read_postmaster_file(self._layout.data)
        return state is not None and works_on(state.pid, self._layout.data)

    def close(self) -> None:
        """Drop the lease; after the last one the server stops by itself."""
        self._lease.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        account = server_account(self._layout)
        make_base(self._layout, account)
        if not self._lease.acquire(2 * SHUTDOWN_SECONDS):
            raise self._stuck("does not finish shutting down")
        with FileLock(self._layout.start_lock) as starting:
            if not starting.acquire(START_SECONDS):
                raise self._stuck("is still being started by another process")
            with (
                FileLock(self._layout.server_lock) as server,
                FileLock(self._layout.supervisor_lock) as supervisor,
            ):
                if self._runs_already(server, supervisor):
                    return
                with self._workplace(account, starting) as place:
                    ensure_cluster(place)
                    clear_remains(self._layout)
                    make_for(account, self._layout.sockets)
                    launch(place, server_lock=server.descriptor, supervisor_lock=supervisor.descriptor)

    def _runs_already(self, server: FileLock, supervisor: FileLock) -> bool:
        """True for a server in good health; false when there is none any more, and then both locks are ours."""
        for _ in attempts(START_SECONDS):
            # Every process of a server holds its lock, the supervisor included: whoever gets it is alone.
            if server.try_acquire():
                if not supervisor.acquire(GRACE_SECONDS):
                    raise self._stuck("has a supervisor without a server")
                return False
            if supervisor.try_acquire():
                self._end_unsupervised(server)
                return False
            if accepts_connections(self._layout):
                return True
        raise self._stuck("runs, but accepts no connections")

    def _end_unsupervised(self, server: FileLock) -> None:
        """Stop a server whose supervisor was killed, and what is left of one whose postmaster was."""
        stopping = ask_postmaster_to_stop(self._layout.data)
        if server.acquire(GRACE_SECONDS if stopping else ORPHAN_SECONDS):
            return
        end_all(self._layout.data)
        if not server.acquire(GRACE_SECONDS):
            raise self._stuck(
                f"was left without its supervisor and does not end: {all_on(self._layout.data)}"
            )

    @contextmanager
    def _workplace(self, account: Account | None, starting: FileLock) -> Iterator[Workplace]:
        with ExitStack() as stack:
            seen = self._layout
            handles: tuple[int, ...] = ()
            if account and not account.may_enter(self._layout.base):
                handle = open_for(account, self._layout.base)
                stack.callback(os.close, handle)
                seen, handles = self._layout.seen_through(handle), (handle,)
            yield Workplace(
                binaries=executable_by(account, find_binaries(os.environ)),
                layout=self._layout,
                seen=seen,
                account=account,
                handles=handles,
                start_lock=starting.descriptor,
                throwaway=self._throwaway,
            )

    def _stuck(self, what: str) -> EmbeddedServerError:
        return EmbeddedServerError(
            f"the embedded PostgreSQL in {self._layout.base} {what}",
            hint=f"Look into {self._layout.log}; `ps` shows its processes",
        )


def open_for(account: Account, directory: Path) -> int:
    """Open *directory* for a server that cannot walk the path to it, such as one below /root.

    A path through an inherited descriptor (proc(5), /proc/self/fd) needs no permission on the directories above.
    """
    if sys.platform != "linux":
        raise EmbeddedServerError(
            f"the account {account.name!r}, which PostgreSQL runs as when Kasparro is started by root, cannot enter {directory}",
            hint="Set KASPARRO_DATA_DIR to a directory that every account can enter, or run Kasparro as an ordinary user",
        )
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
