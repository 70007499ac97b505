"""`kasparro serve --workers`: several processes that accept on one socket, and this one, which looks after them.

The parent has the socket, the database and its schema; it answers nothing itself. A worker that ends is replaced, ever later when
it does not last. Workers end when the parent's end of a pipe is closed: by the parent when it is asked to end, else by its death.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

import structlog
from uvicorn.loops.auto import auto_loop_factory

from kasparro.api.siblings import Siblings
from kasparro.cli.main import THREAD_SWITCH
from kasparro.cli.opening import runtime_for
from kasparro.cli.serving import serve_api
from kasparro.cli.session import set_up
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.core import clock
from kasparro.core.config import Settings
from kasparro.core.errors import ConfigurationError, KasparroError
from kasparro.core.http_server import GRACE_SECONDS

log = structlog.get_logger(__name__)

SPAWN: Final = multiprocessing.get_context("spawn")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LASTING_SECONDS: Final = 60.0
"""Whoever served for so long failed for a reason of its own: the next begins as if it were the first."""

LONGEST_FOLDER: Final = 90
"""Bytes of its name: with that of a socket they have to fit into 104, or 108."""

PATIENCE_SECONDS: Final = GRACE_SECONDS + 10
"""For a worker to end; then it is ended."""


@dataclass(frozen=True, slots=True)
class Crew:
    """What every worker is started with. `end` says nothing until it is closed at the other side."""

    settings: Settings
    url: str
    listener: socket.socket
    end: Connection
    folder: Path

    def start(self, number: int) -> SpawnProcess:
        """Start worker *number*. Raises OSError.

        Ctrl-C reaches every process of a terminal: workers are deaf to it, also while they are loaded, and hear of it from us.
        """
        siblings = Siblings(self.folder, number, self.settings.serve_workers)
        process = SPAWN.Process(
            target=work,
            args=(self.settings, self.url, self.listener, self.end, siblings),
            name=f"worker {number}",
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process


async def supervise(settings: Settings, url: str, listener: socket.socket, stop: Stop) -> None:
    """Keep `serve_workers` of them until *stop*, then wait for them to end. Raises ConfigurationError."""
    end, ours = SPAWN.Pipe(duplex=False)
    with end, ours, _folder() as folder:
        crew = Crew(settings, url, listener, end, folder)
        async with asyncio.TaskGroup() as group:
            for number in range(settings.serve_workers):
                group.create_task(_keep(crew, number, stop.event), name=f"worker {number}")
            await stop.event.wait()
            ours.close()


@contextmanager
def _folder() -> Iterator[Path]:
    """For the sockets by which workers find each other. Raises ConfigurationError."""
    try:
        made = tempfile.TemporaryDirectory(prefix="kasparro-")
    except OSError as error:
        raise _no_folder(f"none can be made: {error.strerror or error}") from error
    with made as folder:
        if len(os.fsencode(folder)) > LONGEST_FOLDER:
            raise _no_folder(f"the name of {folder} is too long for one")
        yield Path(folder)


def _no_folder(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"workers need a folder for their sockets, and {reason}",
        hint="Set TMPDIR to a folder with a short name that can be written to",
    )


async def _keep(crew: Crew, number: int, stop: asyncio.Event) -> None:
    """One worker after the other until *stop*."""
    pause = 0.0
    while not stop.is_set():
        began = clock.monotonic()
        try:
            code = await _one(crew, number, stop)
        except OSError as error:  # no memory or no process left for it, which passes
            log.exception("api.worker_not_started", worker=number, reason=error.strerror)
            code = None
        if stop.is_set():
            return
        lasted = clock.monotonic() - began >= LASTING_SECONDS
        pause = FIRST_PAUSE if lasted or not pause else min(pause * 2, LONGEST_PAUSE)
        log.error("api.worker_ended", worker=number, exit_code=code, again_in=pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


async def _one(crew: Crew, number: int, stop: asyncio.Event) -> int | None:
    """The exit code of a worker, once it has ended by itself or because of *stop*; a negative one is that of a signal."""
    process = crew.start(number)
    log.info("api.worker_started", worker=number, pid=process.pid)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, over.set)
    ending, stopping = asyncio.create_task(over.wait()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((ending, stopping), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((ending,), timeout=PATIENCE_SECONDS)
    finally:
        loop.remove_reader(process.sentinel)
        ending.cancel()
        stopping.cancel()
        if not over.is_set():
            log.error("api.worker_killed", worker=number, pid=process.pid, patience_s=PATIENCE_SECONDS)
            process.kill()
        process.join()
    return process.exitcode


def work(settings: Settings, url: str, listener: socket.socket, end: Connection, siblings: Siblings) -> None:
    """All of a worker's process. The parent has seen to the schema."""
    sys.setswitchinterval(THREAD_SWITCH)
    set_up(settings)

    async def serving(stop: Stop) -> int:
        with _ending_with(end, stop):
            async with runtime_for(settings, url, migrate=False) as runtime:
                await serve_api(runtime, listener, stop, siblings)
        return 0

    try:
        code = run_stoppable(serving, Second.EXIT, auto_loop_factory())
    except KasparroError as error:
        log.error("api.worker_failed", worker=siblings.number, code=error.code, error=str(error))  # noqa: TRY400  # no traceback
        code = error.exit_code
    sys.exit(code)


@contextmanager
def _ending_with(end: Connection, stop: Stop) -> Iterator[None]:
    """Set *stop* when the other side of *end* is closed.

    That is no signal: a supervisor of services may have sent one to all processes already, and a second would end us at once.
    """
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(end.fileno())
        stop.event.set()

    loop.add_reader(end.fileno(), closed)
    try:
        yield
    finally:
        loop.remove_reader(end.fileno())
