"""Whether others want the processors of this process, too: how long its threads have waited for one, beside how long they ran.

Linux tells (`schedstat`, https://docs.kernel.org/scheduler/sched-stats.html); elsewhere nobody is known to want them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kasparro.core import clock

WINDOW_SECONDS: Final = 0.1
BEGINS: Final = 1.2
"""Waiting for each second of work that is a crowd. A load and its two writers on two processors wait for 0.6 with nobody else."""
ENDS: Final = 0.2
"""The same for who takes turns already, and waits for nobody of their own: 0.1 with nobody else, 0.3 and more in a crowd."""
LITTLE: Final = 0.05
"""Work in a second that is too little to judge by."""

TASKS: Final = Path("/proc/self/task")

Threads = Mapping[str, tuple[int, int]]
"""How long each thread ran, and how long it waited for a processor, in nanoseconds."""


def own_threads() -> Threads:
    """Those of this process; none where the system does not tell."""
    threads = {}
    for task in TASKS.glob("*/schedstat"):
        try:
            ran, waited, _ = task.read_text().split()
        except (OSError, ValueError):  # it has ended, or it is not told
            continue
        threads[task.parent.name] = int(ran), int(waited)
    return threads


class Crowding:
    """Called to be told. A process that is not nice (`ETL_NICE`) leaves the processors to nobody, and is not told of a crowd."""

    def __init__(self, threads: Callable[[], Threads] = own_threads) -> None:
        self._threads = threads
        self._found = False
        self._looked = clock.monotonic()
        self._before = threads()

    def __call__(self) -> bool:
        elapsed = clock.monotonic() - self._looked
        if elapsed >= WINDOW_SECONDS:
            self._look(elapsed)
        return self._found

    def _look(self, elapsed: float) -> None:
        before, now = self._before, self._threads()
        both = before.keys() & now.keys()
        ran, waited = (sum(now[one][kind] - before[one][kind] for one in both) for kind in (0, 1))
        enough = ran > LITTLE * elapsed * 1e9 and os.getpriority(os.PRIO_PROCESS, 0) > 0
        self._found = enough and waited > ran * (ENDS if self._found else BEGINS)
        self._looked, self._before = self._looked + elapsed, now
