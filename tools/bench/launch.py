"""Run one command and write down what it took. A script of its own: `python -I -S launch.py RESULT COMMAND [ARGUMENT]...`

The kernel counts the memory of the process that starts another as that one's own peak, until it has become the other program.
So commands are started by this script, which is small, and not by the benchmark. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

KIBIBYTE = 1024 if sys.platform != "darwin" else 1


def main(result: str, command: list[str]) -> int:
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    took = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss * KIBIBYTE / 2**20,
    }
    Path(result).write_text(json.dumps(took))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
