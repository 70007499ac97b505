"""The API behind a real server, as it is deployed."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest
import uvicorn

pytestmark = pytest.mark.anyio


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def __aenter__(self) -> int:
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self.serve())
        await self.ready.wait()
        return self.servers[0].sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        self.should_exit = True
        await self.task


@pytest.fixture(params=["h11", "httptools"])
async def port(request, service):
    config = uvicorn.Config(
        service.app, port=0, http=request.param, log_config=None, access_log=False, proxy_headers=False
    )
    async with Server(config) as number:
        yield number


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_serves_over_a_socket(port, seed):
    seed.records("alpha", 3)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        page = await client.get("/data?source=alpha")
        live = await client.get("/health/live")
        asked = await client.post("/etl/run/alpha")

    assert (page.status_code, page.json()["total_count"]) == (200, 3)
    assert live.status_code == 200
    assert asked.status_code == 202


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /data?source=%00%ff%ed%a0%80 HTTP/1.1",
        b"GET /data/%2e%2e/%00 HTTP/1.1",
        b"GET /runs/%ed%a0%80 HTTP/1.1",
    ],
)
async def test_bytes_that_are_no_text_are_refused(port, request_line):
    answer = await raw(port, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert answer.split()[1] in {b"422", b"404"}


@pytest.mark.parametrize(
    "headers", [b"Host: evil.example", b"Host: localhost\r\nX-Forwarded-For: 1.2.3.4\r\nHost: evil.example"]
)
async def test_the_name_asked_for_is_checked_on_the_wire(port, headers):
    answer = await raw(port, b"GET /data HTTP/1.1\r\nConnection: close\r\n" + headers + b"\r\n\r\n")

    assert answer.split()[1] in {b"403", b"400"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"GET /data HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n",
        b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"GET  /data  HTTP/9.9\r\n\r\n",
    ],
)
async def test_requests_that_are_framed_wrongly_are_refused(port, seed, request_bytes):
    answer = await raw(port, request_bytes)

    assert answer.split()[1] in {b"400", b"403"}
    assert seed.connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)
