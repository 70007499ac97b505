"""Answers that are sent at once are, byte for byte, those of uvicorn; what is out of the ordinary is left to it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kasparro.core.http_answers import AtOnce

DEFAULT = [(b"date", b"Thu, 26 Nov 2026 08:00:00 GMT")]


class Transport(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True


def cycle_of(transport: Transport, method: str, *, keep_alive: bool) -> RequestResponseCycle:
    return RequestResponseCycle(
        scope={"type": "http", "method": method},  # type: ignore[arg-type, typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=DEFAULT,
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def sent(messages: list[Any], *, at_once: bool, method: str = "GET", keep_alive: bool = True) -> Any:
    transport = Transport()

    async def go() -> str | None:
        cycle = cycle_of(transport, method, keep_alive=keep_alive)
        send = AtOnce(cycle).send if at_once else cycle.send
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            return str(error)
        return f"complete: {cycle.response_complete}, keeps: {cycle.keep_alive}"

    end = asyncio.run(go())
    return b"".join(transport.writes), end, transport.closed, len(transport.writes)


def answer(status: int = 200, headers: list[Any] | None = None, *parts: bytes) -> list[Any]:
    bodies = parts or (b"",)
    return [
        {"type": "http.response.start", "status": status, "headers": headers or []},
        *(
            {"type": "http.response.body", "body": part, "more_body": number < len(bodies)}
            for number, part in enumerate(bodies, start=1)
        ),
    ]


LENGTH = (b"content-length", b"5")
ORDINARY = {
    "short": answer(200, [LENGTH, (b"x-a", b"b")], b"hello"),
    "nothing": answer(200, [(b"content-length", b"0")]),
    "not modified": answer(304, [(b"etag", b'W/"a"')]),
    "latin": answer(200, [LENGTH, (b"x-a", b"\xe9\t.")], b"hello"),
}
OTHERS = {
    "no length": answer(200, [], b"hello"),
    "in pieces": answer(200, [LENGTH], b"he", b"llo"),
    "closing": answer(200, [LENGTH, (b"connection", b"close")], b"hello"),
    "chunked": answer(200, [(b"transfer-encoding", b"chunked")], b"hello"),
    "too long": answer(200, [LENGTH], b"hello!"),
    "too short": answer(200, [LENGTH], b"hell"),
    "length of nonsense": answer(304, [(b"content-length", b"-1")]),
    "a body of 304": answer(304, [], b"hello"),
    **{
        f"value {value!r}": answer(200, [LENGTH, (b"x-a", value)], b"hello")
        for value in (b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"\r\n", b"a\r\n")
    },
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_answer_is_written_in_one_go_and_is_the_same(name):
    ours, theirs = (sent(ORDINARY[name], at_once=at_once) for at_once in (True, False))

    assert ours[:3] == theirs[:3]
    assert ours[3] == 1


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_ordinary_ends_as_it_would_have(name):
    ours, theirs = (sent(OTHERS[name], at_once=at_once) for at_once in (True, False))

    assert ours[:3] == theirs[:3]


@pytest.mark.parametrize(("method", "keep_alive"), [("HEAD", True), ("GET", False)])
def test_how_it_was_asked_counts_as_well(method, keep_alive):
    for messages in ORDINARY.values():
        given = {"method": method, "keep_alive": keep_alive}
        ours, theirs = (sent(messages, at_once=at_once, **given) for at_once in (True, False))
        assert ours[:3] == theirs[:3]
