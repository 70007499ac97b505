r"""Asks one server as fast as it answers, on connections that stay open. A script of its own:

    load.py '{"port": 8000, "requests": ["GET / HTTP/1.1\r\n..."], "connections": 16, "seconds": 3}'

The requests are sent in turn. Prints one JSON object. It costs little, and the server's processor time is measured besides: where
both are on two cores, a reply that costs its server less than it costs us shows there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import uvloop

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"
CHUNKED = b"transfer-encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"
UNKNOWN = -1


class Tally:
    def __init__(self, until: float) -> None:
        self.until = until
        self.seconds: list[float] = []
        self.statuses: dict[str, int] = {}
        self.size = 0


class Asking(asyncio.Protocol):
    """One connection: the next question when the answer is whole."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self.requests, self.tally = requests, tally
        self.asked = 0.0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.head = self.tail = b""
        self.left: int | None = None
        """Bytes to come; below 0 while nobody knows, since the answer comes in chunks. None before the head is whole."""
        self.asked = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        if self.left is None:
            self.head += data
            data = self._begun()
        if self.left is None:
            return
        if self.left >= 0:
            self.left -= len(data)
        else:
            self.tail = (self.tail + data)[-len(LAST_CHUNK) :]
            self.left = 0 if self.tail == LAST_CHUNK else UNKNOWN
        if self.left == 0:
            self._answered()

    def _begun(self) -> bytes:
        """What has come of the body, once the head is whole."""
        head, end, body = self.head.partition(END_OF_HEAD)
        if end:
            status, head = head[9:12].decode(), head.lower()
            self.tally.statuses[status] = self.tally.statuses.get(status, 0) + 1
            length = head.partition(LENGTH)[2].partition(b"\r")[0]
            self.left = UNKNOWN if CHUNKED in head else int(length or 0)
            self.tally.size = max(self.left, 0)
        return body

    def _answered(self) -> None:
        now = time.perf_counter()
        self.tally.seconds.append(now - self.asked)
        if now < self.tally.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set_result(error)


async def main(orders: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    tally = Tally(start + orders["seconds"])
    requests = cycle([request.encode() for request in orders["requests"]])
    opened = [
        await loop.create_connection(lambda: Asking(requests, tally), "127.0.0.1", orders["port"])
        for _ in range(orders["connections"])
    ]
    await asyncio.gather(*(protocol.over for _, protocol in opened))
    took = time.perf_counter() - start
    times = sorted(tally.seconds)
    return {
        "requests": len(times),
        "seconds": took,
        "per_second": len(times) / took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p95_ms": times[len(times) * 95 // 100] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "statuses": tally.statuses,
        "bytes": tally.size,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
