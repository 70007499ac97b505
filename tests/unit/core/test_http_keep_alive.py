"""A connection at rest ends after a while, counted from its last answer, whatever timer was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from kasparro.core.http_again import Whole
from kasparro.core.http_protocol import Connection, Porter, ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 5


class Timer:
    def __init__(self, at: float, go_off: Callable[[], None]) -> None:
        self.at, self.go_off = at, go_off
        self.off = False

    def cancel(self) -> None:
        self.off = True


class Loop:
    """Its time and its turns go on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, act: Callable[..., None], *given: Any) -> None:
        self.soon = (act, given)

    def call_later(self, seconds: float, go_off: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, go_off))
        return self.timers[-1]

    def turn(self) -> None:
        act, given = self.soon
        act(*given)

    def go_on_to(self, time: float) -> None:
        self.now = time
        due = [timer for timer in self.timers if timer.at <= time]
        self.timers = [timer for timer in self.timers if timer.at > time]
        for timer in due:
            if not timer.off:
                timer.go_off()


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closed = False

    def write(self, _data: bytes) -> None:
        self.written += 1

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Scene:
    def __init__(self) -> None:
        self.loop, self.transport = Loop(), Transport()
        self.asked: list[Callable[[Whole], None]] = []
        porter = Porter(ServerLimits())
        config = uvicorn.Config(lambda: None, log_config=None, timeout_keep_alive=SECONDS, factory=True)
        self.connection: Connection = porter.protocol(
            config=config, server_state=ServerState(), app_state={}, _loop=self.loop
        )
        self.connection.connection_made(self.transport)
        porter.memory.keep((None, GET), self.asked.append)

    def ask(self) -> None:
        self.connection.data_received(GET)

    def answer(self) -> None:
        self.asked.pop()(Whole.of(200, [(b"content-length", b"2")], b"ok"))
        self.loop.turn()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_it_ends_so_long_after_its_last_answer(scene):
    for time in (0, 2, 4):
        scene.loop.go_on_to(time)
        scene.ask()
        scene.answer()
        assert len(scene.loop.timers) == 1, "one timer serves all of them"
    scene.loop.go_on_to(SECONDS)
    scene.loop.go_on_to(4 + SECONDS - 0.1)
    assert not scene.transport.closed
    scene.loop.go_on_to(4 + SECONDS)
    assert (scene.transport.closed, scene.transport.written) == (True, 3)


def test_it_does_not_end_while_an_answer_is_made(scene):
    scene.ask()
    scene.answer()
    scene.ask()
    scene.loop.go_on_to(3 * SECONDS)
    assert not scene.transport.closed
    scene.answer()
    scene.loop.go_on_to(4 * SECONDS - 0.1)
    assert not scene.transport.closed
    scene.loop.go_on_to(4 * SECONDS)
    assert scene.transport.closed
