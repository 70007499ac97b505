"""How this process is called where others read of it: in a lease, and in PostgreSQL's list of connections."""

from __future__ import annotations

import os
import secrets
from functools import lru_cache


def process_name() -> str:
    """The pid and a random part, because pids repeat; a fork has a name of its own."""
    return _name_of(os.getpid())


@lru_cache(maxsize=1)
def _name_of(pid: int) -> str:
    return f"{pid}:{secrets.token_hex(3)}"
