"""Which account the server runs as. PostgreSQL refuses to run as root, so root hands it to somebody else.

No account is ever created, and the permissions of no directory that is not ours are ever changed.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from kasparro.core.embedded.layout import Layout
from kasparro.core.errors import EmbeddedServerError

UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int

    def may_enter(self, directory: Path) -> bool:
        """Whether this account can walk to *directory*, by the permission bits of each step."""
        path = directory.resolve()
        return all(self._may_search(step.stat()) for step in (path, *path.parents))

    def _may_search(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def server_account(layout: Layout) -> Account | None:
    """The account to drop to: the owner of what is already there, else the first that exists; none when not root."""
    if os.geteuid() != 0:
        return None
    for path in (layout.data, layout.base):
        if path.exists() and (owner := path.stat()).st_uid != 0:
            return Account(name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and there is neither an account 'postgres' nor 'nobody' to run it as",
        hint="Run Kasparro as an ordinary user, or set DATABASE_URL to a server",
    )


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
