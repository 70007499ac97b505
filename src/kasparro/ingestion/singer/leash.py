"""Runs one tap and dies with it, and with whoever started it. A program of its own: `tap` starts it by its path.

In: on standard input one end of a socket pair, and as arguments a folder and the tap's command. Out: one JSON object into the
socket, `{"code": 0}` when the tap has ended or `{"error": "..."}` when it could not be started. When the other end is closed, the
starter is gone or has had enough, whatever it died of: the folder, which holds the tap's secrets, is removed, and the process
group, which is everything the tap has started, is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence


def main(folder: str, command: Sequence[str]) -> None:
    starter = socket.socket(fileno=os.dup(0))
    try:
        tap = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  # the declared command, and no shell
    except OSError as error:
        _tell(starter, {"error": error.strerror or type(error).__name__})
        return
    threading.Thread(target=_wait_for, args=(tap, starter), daemon=True).start()
    while starter.recv(1):
        pass  # nothing is ever sent
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _wait_for(tap: subprocess.Popen[bytes], starter: socket.socket) -> None:
    """What the tap has left behind goes with it: it would hold the pipe open."""
    _tell(starter, {"code": tap.wait()})
    os.killpg(0, signal.SIGKILL)


def _tell(starter: socket.socket, what: Mapping[str, int | str]) -> None:
    try:
        starter.sendall(json.dumps(what).encode())
    except OSError:
        return  # nobody is there to be told


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
