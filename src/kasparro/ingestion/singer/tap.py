"""A running tap: a command in, its lines out, and how it ended. Whatever it starts ends with it.

Called by `source` and `discovery`. Between us and the tap stands `leash`, which kills the tap's process group as soon as we are
gone. Nothing is read ahead but one pipe's and one buffer's worth: a tap that is faster than the database waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
import structlog

from kasparro.core.errors import TapFailed
from kasparro.core.redaction import for_people
from kasparro.ingestion.singer import leash
from kasparro.ingestion.singer.workplace import Workplace

log = structlog.get_logger(__name__)

LONGEST_LINE: Final = 64 * 1024 * 1024
QUIET: Final = 1.0
"""Seconds without output after which whoever reads is told that nothing came."""

_CHUNK: Final = 256 * 1024
_FAREWELL: Final = 5.0
"""Seconds in which the pipes of a killed process close, unless a program that left its process group holds them."""

_TAIL_LINES: Final = 8
_TAIL_LINE: Final = 300
_MARKS: Final = frozenset("^~- ")
"""What lines of a traceback consist of that only point at the line above."""

_HINT: Final = "Run the tap by itself to see all it says"


class Tap:
    """One process, and everything it starts."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        starter: socket.socket,
        timeout: float,
        redact: Callable[[str], str],
    ) -> None:
        self._name = name
        self._process = process
        self._starter = starter
        self._timeout = timeout
        self._redact = redact
        self._silence = 0.0
        self.broke_off = False
        """Whether the last of its lines has no end: who dies while writing leaves such a one."""
        self._said: deque[str] = deque(maxlen=_TAIL_LINES)
        self._listening = asyncio.create_task(self._listen(), name=f"stderr of {name}")

    async def lines(self) -> AsyncGenerator[list[bytes]]:
        """What is written, some lines at a time, without blank ones; an empty list: nothing came for a while.

        Raises `TapFailed` for a line that is too long and for a tap that has been silent for too long.
        """
        pieces: list[bytes] = []
        size = 0
        while (chunk := await self._read()) != b"":
            if chunk is None:
                yield []
                continue
            *ended, rest = chunk.split(b"\n")
            if ended:
                ended[0] = b"".join([*pieces, ended[0]])
                pieces, size = [], 0
                yield [line for line in ended if line.strip()]
            if rest:
                pieces.append(rest)
                size += len(rest)
                if size > LONGEST_LINE:
                    raise TapFailed(f"the tap wrote a line of more than {LONGEST_LINE >> 20} MiB")
        if b"".join(pieces).strip():
            self.broke_off = True
            yield [b"".join(pieces)]

    async def _read(self) -> bytes | None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101  # it was asked for
        try:
            async with asyncio.timeout(QUIET):
                chunk = await stream.read(_CHUNK)
        except TimeoutError:
            self._silence += QUIET
            if self._silence >= self._timeout:
                raise TapFailed(
                    f"the tap has written nothing for {self._timeout:g} s{self._tail()}",
                    hint="A longer `timeout` may help",
                ) from None
            return None
        self._silence = 0.0
        return chunk

    async def _listen(self) -> None:
        """Keep the end of what the tap says on standard error."""
        stream = self._process.stderr
        assert stream is not None  # noqa: S101  # it was asked for
        rest = b""
        while chunk := await stream.read(_CHUNK):
            self._silence = 0.0
            *ended, rest = (rest + chunk).split(b"\n")
            rest = rest[-_CHUNK:]
            for line in ended:
                self._hear(line)
        self._hear(rest)

    def _hear(self, line: bytes) -> None:
        text = self._redact(line[: 4 * _TAIL_LINE].decode("utf-8", "replace")).strip()
        if not _MARKS.issuperset(text):
            log.debug("tap.said", source=self._name, line=text)
            self._said.append(for_people(text)[:_TAIL_LINE])

    def _tail(self) -> str:
        return f"; it said: {' | '.join(self._said)}" if self._said else ""

    async def outcome(self) -> TapFailed | None:
        """Wait until it has ended, and say what went wrong, if something did."""
        await self._process.wait()
        await self._listening
        told = await asyncio.to_thread(_told, self._starter)
        if told.get("code") == 0:
            return None
        if "error" in told:
            return TapFailed(
                f"the tap cannot be started: {told['error']}",
                hint="Install it, in an environment of its own, and give the path of its program as `command`",
            )
        code = told.get("code")
        how = (
            "was killed"
            if code is None
            else f"ended by signal {-int(code)}"
            if int(code) < 0
            else f"ended with exit code {code}"
        )
        return TapFailed(f"the tap {how}{self._tail()}", hint=_HINT)

    async def end(self) -> None:
        """Kill it and all it has started, if it is still there."""
        self._starter.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(self._drain(), self._listening, self._process.wait())
        except TimeoutError:
            log.warning(
                "tap.left_something_behind", source=self._name, reason="its output is still held open"
            )

    async def _drain(self) -> None:
        """Read what is left in the pipe: only then is it closed on our side as well."""
        stream = self._process.stdout
        assert stream is not None  # noqa: S101  # it was asked for
        while await stream.read(_CHUNK):
            pass


def _told(starter: socket.socket) -> dict[str, int | str]:
    """What the leash has said; nothing, when it was killed before it could."""
    starter.settimeout(5)
    text = b""
    try:
        while piece := starter.recv(4_096):
            text += piece
    except OSError:
        return {}
    return msgspec.json.decode(text, type=dict[str, int | str]) if text else {}


@asynccontextmanager
async def running(
    place: Workplace,
    arguments: Sequence[str],
    name: str,
    longest_silence: float,
    redact: Callable[[str], str],
) -> AsyncIterator[Tap]:
    """Run the tap with *arguments* for as long as the context lasts."""
    ours, its = socket.socketpair()
    command = [*place.command, *arguments]
    try:
        # By its path and isolated: no import path and no package of the tap's can get in the way of the leash.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", leash.__file__, str(place.folder), *command),
            stdin=its.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=place.home,
            env=dict(place.environment),
            limit=_CHUNK,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise TapFailed(f"the tap cannot be started: {error.strerror}") from error
    finally:
        its.close()
    tap = Tap(name, process, ours, longest_silence, redact)
    try:
        yield tap
    finally:
        await asyncio.shield(tap.end())
