"""PostgreSQL without a set-up: found, initialised, started and stopped by Kasparro itself.

The composition root uses it when DATABASE_URL is unset, the tests use it with `throwaway=True`. Three kinds of process share
one data directory, and the kernel's file locks are the only truth about who is alive:

    client (any Kasparro process)    holds `clients.lock` shared for as long as it lives
    supervisor (one, detached)       waits for `clients.lock` exclusively; when it gets it, the last client is gone
    postmaster (its child)           holds `server.lock` together with every process it forks
"""

from kasparro.core.embedded.keeper import Keeper
from kasparro.core.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "Keeper"]
