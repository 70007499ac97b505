"""Requests as bytes: what can be read in two ways is not read at all, and its connection ends."""

from __future__ import annotations

import json

import pytest

from live_server import live, status

pytestmark = pytest.mark.anyio

POST = b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "a length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": POST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "a length that is no number": POST + b"Content-Length: abc\r\n\r\n",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a folded header": GET + b"X-Folded: one\r\n two\r\n\r\n",
    "a folded length": POST + b"Content-Length:\r\n 3\r\n\r\nabc",
    "a space before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "a header without a name": GET + b": value\r\n\r\n",
    "a header without a colon": GET + b"nothing\r\n\r\n",
    "a line that ends with LF": b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
    "a CR inside of a header": GET + b"X-A: b\rc\r\n\r\n",
    "a NUL inside of a header": GET + b"X-A: b\0c\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked that is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /etl/run HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is no number": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk with LF": CHUNKED + b"3\nabc\n0\n\n",
    "a chunk longer than it says": CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
    "a chunk size with a space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b" /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown version": b"GET /health/live HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a control character in the path": b"GET /health/\x01live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /health/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no Host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two Hosts": GET + b"Host: localhost\r\n\r\n",
}


async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(service, seed):
    """A second request follows in the same bytes: it must not be taken for one."""
    behind = POST + b"Content-Length: 0\r\n\r\n"
    async with live(service.app) as server:
        received = {name: await server.send(request + behind) for name, request in REFUSED.items()}

    for name, answer in received.items():
        head, _, body = answer.partition(b"\r\n\r\n")
        assert status(head) == 400, (name, answer)
        assert b"connection: close" in head.lower(), name
        assert b"application/problem+json" in head, name
        problem = json.loads(body)
        assert (problem["code"], problem["status"]) == ("bad_request", 400), name
        assert problem["request_id"].encode() in head, name
    assert seed.connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


async def test_a_trailer_is_no_header(serve):
    """Whoever judges a request by its headers has done so when trailers come."""
    async with serve(api_keys={"admin-secret-1": "admin"}) as service, live(service.app) as server:
        refused = await server.send(
            CHUNKED + b"0\r\nX-API-Key: admin-secret-1\r\n\r\n" + GET + b"Connection: close\r\n\r\n"
        )

    assert status(refused) == 401


async def test_requests_that_follow_each_other_are_answered_in_turn(service):
    async with live(service.app) as server:
        received = await server.send(2 * (GET + b"\r\n") + GET + b"Connection: close\r\n\r\n")

    assert received.count(b"HTTP/1.1 200 OK") == 3


async def test_a_head_without_end_is_refused_before_its_end(service, caplog):
    async with live(service.app) as server, server.connect() as wire:
        await wire.write(GET + b"X-Long: " + b"x" * 70_000)
        received = await wire.rest()

    assert status(received) == 431
    assert b'"headers_too_large"' in received
    assert "a request was refused: headers_too_large" in caplog.text


@pytest.mark.parametrize("length", [33_000, 60_000, 65_000, 70_000, 300_000])
async def test_an_address_beyond_the_limit_is_told_so_whoever_finds_out(service, length):
    """The application, the parser, which takes 64 KiB, or we, who do not wait for its end."""
    request = b"GET /data?q=" + b"a" * length + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with live(service.app) as server:
        whole = await server.send(request)
        async with server.connect() as wire:
            await wire.write(request[: length // 2])
            await wire.write(request[length // 2 :])
            in_parts = await wire.rest()

    for received in (whole, in_parts):
        assert status(received) == 414
        assert b'"uri_too_long"' in received


async def test_trailers_without_end_do_not_fill_the_memory(service):
    async with live(service.app) as server:
        received = await server.send(
            CHUNKED + b"0\r\n" + b"X-Trailer: x\r\n" * 20_000 + b"\r\n" + GET + b"Connection: close\r\n\r\n"
        )

    assert status(received) in {202, 404}
