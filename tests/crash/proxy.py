"""A proxy of ours between a process and PostgreSQL, which does harm at the n-th chunk of bytes in either direction.

The process that is killed at its n-th chunk dies at its n-th call on the socket, so this reaches every instant that the
database can tell from another. What the proxy needs of the protocol is the word COMMIT.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qs, urlsplit

CHUNK = 1 << 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
COMMIT = b"COMMIT"


class Harm(StrEnum):
    NONE = "none"
    KILL_BEFORE = "kill-before"
    """The process dies and the chunk is lost."""
    KILL_AFTER = "kill-after"
    """The chunk arrives and the process dies."""
    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"
    """Nothing goes through any more, and nobody is told: half-open."""
    DELAY = "delay"
    LOSE_COMMIT = "lose-commit"
    """The n-th COMMIT is executed; its answer is lost and the connection reset."""


@dataclass(frozen=True)
class Plan:
    """`up` is towards the server."""

    harm: Harm = Harm.NONE
    direction: str = "up"
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.harm}-{self.direction}-{self.nth}"


@dataclass
class Proxy:
    """Listens on loopback for as long as the context lasts. `seen` counts chunks, `struck` says that the harm is done."""

    upstream: str
    plan: Plan = field(default_factory=Plan)
    kill: Callable[[], None] = lambda: None
    seen: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    commits: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    _silent: set[asyncio.StreamWriter] = field(default_factory=set)
    _losing: bool = False
    _all: list[asyncio.StreamWriter] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._all:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._all), return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        parts = urlsplit(self.upstream)
        user = parts.username or "postgres"
        return f"postgresql://{user}@127.0.0.1:{self.port}{parts.path}?sslmode=disable&gssencmode=disable"

    def stall(self) -> None:
        """From the next chunk on, whatever its direction, nothing goes through."""
        self.plan = Plan(Harm.STALL, "up", self.seen["up"] + 1)

    def mend(self) -> None:
        """Connections made from now on work; those that fell silent stay so."""
        self.plan = Plan()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._all.append(writer)
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.close()
            return
        self._all.append(server_writer)
        pipes = [
            asyncio.create_task(self._pipe("up", reader, server_writer, writer)),
            asyncio.create_task(self._pipe("down", server_reader, writer, writer)),
        ]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            if writer in self._silent:  # whoever hung up, the other side hears nothing of it
                await asyncio.Event().wait()
        finally:
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)
            for each in (writer, server_writer):
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.upstream)
        folder = parse_qs(parts.query).get("host", [None])[0]
        if folder:
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{parts.port or 5432}")
        return await asyncio.open_connection(parts.hostname, parts.port or 5432)

    async def _pipe(
        self,
        direction: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if client in self._silent:
                    await asyncio.Event().wait()
                if not await self._pass(direction, data, client):
                    return
                writer.write(data)
                await writer.drain()
                self._after(direction)

    async def _pass(self, direction: str, data: bytes, client: asyncio.StreamWriter) -> bool:
        """Whether the chunk goes through; the harm that comes before it is done here."""
        self.seen[direction] += 1
        if direction == "up" and COMMIT in data:
            self.commits += 1
            self._losing |= self.plan.harm is Harm.LOSE_COMMIT and self.commits == self.plan.nth
        elif direction == "down" and self._losing:
            self._losing = False
            return self._cut(client, reset=True)
        if not self._now(direction):
            return True
        match self.plan.harm:
            case Harm.KILL_BEFORE:
                return self._kill()
            case Harm.RESET | Harm.CLOSE:
                return self._cut(client, reset=self.plan.harm is Harm.RESET)
            case Harm.STALL:
                self._silent.add(client)
                self.struck.set()
                await asyncio.Event().wait()
            case Harm.DELAY:
                self.struck.set()
                await asyncio.sleep(0.3)
        return True

    def _after(self, direction: str) -> None:
        if self.plan.harm is Harm.KILL_AFTER and self._now(direction):
            self._kill()

    def _now(self, direction: str) -> bool:
        """The first time at or after the n-th chunk."""
        due = direction == self.plan.direction and self.seen[direction] >= self.plan.nth
        return due and not self.struck.is_set() and self.plan.harm is not Harm.LOSE_COMMIT

    def _kill(self) -> bool:
        self.struck.set()
        self.kill()
        return False

    def _cut(self, client: asyncio.StreamWriter, *, reset: bool) -> bool:
        self.struck.set()
        if reset:
            connected: socket.socket = client.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        client.close()
        return False


def killer(pid: int) -> Callable[[], None]:
    return lambda: os.kill(pid, signal.SIGKILL)
