"""Where things lie inside a data directory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

SOCKET_FILE = ".s.PGSQL.5432"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, terminator included.
LONGEST_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class Layout:
    base: Path
    sockets: Path

    @classmethod
    def within(cls, data_dir: Path) -> Layout:
        base = data_dir.expanduser().resolve() / "postgres"
        return cls(base, socket_directory(base))

    def seen_through(self, descriptor: int) -> Layout:
        """The same files, for a process that may not walk the path to them but was handed the open directory."""
        base = Path(f"/proc/self/fd/{descriptor}")
        inside = self.sockets.is_relative_to(self.base)
        return Layout(base, base / self.sockets.relative_to(self.base) if inside else self.sockets)

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def half_made(self) -> Path:
        return self.base / "data.new"

    @property
    def log(self) -> Path:
        return self.base / "server.log"

    @property
    def socket(self) -> Path:
        return self.sockets / SOCKET_FILE

    @property
    def clients_lock(self) -> Path:
        return self.base / "clients.lock"

    @property
    def start_lock(self) -> Path:
        return self.base / "start.lock"

    @property
    def server_lock(self) -> Path:
        return self.base / "server.lock"

    @property
    def supervisor_lock(self) -> Path:
        return self.base / "supervisor.lock"


def socket_directory(base: Path) -> Path:
    """Inside *base*, or a short path under /tmp where that is too long, or libpq would read it as a list of hosts.

    It depends on *base* alone: every process has to arrive at the same one, whatever its TMPDIR says.
    """
    inside = base / "run"
    if len(os.fsencode(inside / SOCKET_FILE)) <= LONGEST_SOCKET_PATH and "," not in str(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:16]
    return Path(f"/tmp/kasparro-{digest}")  # noqa: S108  # made with mode 0700, and its owner is checked
