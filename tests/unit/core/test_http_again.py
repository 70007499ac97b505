"""A connection that answers what comes again: in turn, whole, and never what belongs to another."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response

from kasparro.core.http_again import KEEP, LONGEST, MOST, OFFER, Memory, Whole
from kasparro.core.http_server import listen, serve
from live_server import live

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def whole(text: str, **headers: str) -> Whole:
    lines = {"content-length": str(len(text)), **headers}
    return Whole.of(200, [(name.encode(), value.encode()) for name, value in lines.items()], text.encode())


class Application:
    """Answers with a number, and offers to do it again; `asked` are those that wait for an answer."""

    def __init__(self) -> None:
        self.reached, self.again = 0, 0
        self.asked: asyncio.Queue = asyncio.Queue()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.reached += 1
        if offered := scope.get("extensions", {}).get(OFFER):
            offered[KEEP](self.asked.put_nowait)
        await Response(f"long {self.reached}")(scope, receive, send)

    async def answer(self, headers: dict[str, str] | None = None) -> None:
        self.again += 1
        done = await asyncio.wait_for(self.asked.get(), 60)
        done(whole(f"again {self.again}", **headers or {}))


async def body(wire) -> str:
    head = (await wire.answer()).decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    return (await wire.reader.readexactly(length)).decode()


async def test_what_comes_behind_waits_for_its_turn():
    app = Application()
    async with live(app) as server, server.connect() as wire:
        await wire.write(GET)
        assert await body(wire) == "long 1"
        await wire.write(GET)
        done = await asyncio.wait_for(app.asked.get(), 60)
        await wire.write(GET + GET[:10])
        await wire.write(GET[10:])
        done(whole("mine"))
        assert [await body(wire) for _ in range(3)] == ["mine", "long 2", "long 3"]
        await wire.write(GET)
        await app.answer()
        assert await body(wire) == "again 1"


async def test_a_server_that_ends_answers_what_it_has_in_hand():
    app, stop, ready = Application(), asyncio.Event(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(serve(app, listener, stop, ready.set))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(GET)
        await reader.readuntil(b"long 1")
        writer.write(GET)
        done = await asyncio.wait_for(app.asked.get(), 60)
        stop.set()
        await asyncio.sleep(0)
        done(whole("last"))
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"\r\n\r\nlast")
        await asyncio.wait_for(serving, 60)
        writer.close()


async def test_an_answer_that_is_not_sound_is_not_sent():
    app = Application()
    async with live(app) as server, server.connect() as wire:
        await wire.write(GET)
        await body(wire)
        await wire.write(GET)
        await app.answer({"X-Split": "a\r\nSet-Cookie: b"})
        assert await wire.rest() == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * LONGEST + b"\r\n\r\n",
    ],
    ids=["an old protocol", "a body", "very long"],
)
async def test_what_is_not_a_request_by_itself_is_not_offered(sent):
    app = Application()
    async with live(app) as server, server.connect() as wire:
        for number in (1, 2, 3):
            await wire.write(sent)
            if b"HTTP/1.0" in sent:
                assert (await wire.rest()).endswith(b"long 1")
                break
            assert await body(wire) == f"long {number}"


async def test_connections_of_one_address_know_the_same():
    app = Application()
    async with live(app) as server, server.connect() as one, server.connect() as other:
        await one.write(GET)
        assert await body(one) == "long 1"
        await other.write(GET)
        await app.answer()
        assert await body(other) == "again 1"


def test_the_oldest_are_forgotten():
    memory = Memory()
    for number in range(MOST + 1):
        memory.keep((None, b"%d" % number), print)

    assert memory.get((None, b"0")) is None
    assert memory.get((None, b"1")) is print
    assert memory.get(("::1", b"1")) is None
