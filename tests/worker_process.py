"""A worker as a process of its own, for tests that kill it: `python worker_process.py URL CATALOG`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from kasparro.core.config import Settings
from kasparro.runtime import open_runtime
from kasparro.worker.main import run_worker
from kasparro.worker.pace import Pace

SCRIPT = Path(__file__)
LEASE_SECONDS = 3.0
PACE = Pace(heartbeat=0.3, silent_for=4.0, poll=0.5, maintenance=0.3, busy=0.3, backoff=0.5, grace=20.0)


def settings(catalog: Path, batch: int = 20) -> Settings:
    return Settings(
        _env_file=None, kasparro_config=catalog, etl_batch_size=batch, etl_lease_seconds=LEASE_SECONDS
    )


async def main(url: str, catalog: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_runtime(settings(catalog), url, migrate=False, environ=os.environ) as runtime:
        await run_worker(runtime, stop=stop, pace=PACE)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
