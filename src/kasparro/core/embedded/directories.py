"""Make the directories the server needs. What already exists keeps its permissions, unless it is ours alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kasparro.core.embedded.accounts import Account, name_of
from kasparro.core.embedded.layout import Layout
from kasparro.core.errors import EmbeddedServerError


def make_reachable(directory: Path) -> None:
    """Create what is missing of *directory*; as root in a way that the account of the server can walk there."""
    missing = [step for step in (directory, *directory.parents) if not step.exists()]
    for step in reversed(missing):
        step.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            step.chmod(0o755)


def make_base(layout: Layout, account: Account | None) -> None:
    """`postgres` in the data directory: the locks and the log. Root keeps it, and lets the server walk through."""
    make_reachable(layout.base.parent)
    layout.base.mkdir(mode=0o700, exist_ok=True)
    if account and layout.base.stat().st_uid == 0:
        layout.base.chmod(0o711)


def make_for(account: Account | None, directory: Path) -> None:
    """A directory that only the server's account may use. It may lie in /tmp: one that is not ours is never used."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        require_ours(account, directory)
    if account:
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)


def require_ours(account: Account | None, directory: Path) -> None:
    status = directory.lstat()
    owners = {os.geteuid(), account.uid if account else os.geteuid()}
    if stat.S_ISDIR(status.st_mode) and status.st_uid in owners and not status.st_mode & 0o077:
        return
    raise EmbeddedServerError(
        f"{directory} is not a directory of mode 0700 that belongs to {name_of(account.uid if account else os.geteuid())!r}",
        hint="Remove it, or choose another KASPARRO_DATA_DIR",
    )
