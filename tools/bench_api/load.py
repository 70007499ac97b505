r"""Asks one server the same question as fast as it answers, on connections that stay open. A script of its own:

    load.py '{"port": 8000, "request": "GET / HTTP/1.1\r\n...", "connections": 16, "seconds": 3}'

Prints one JSON object. It costs little, and the server's processor time is measured besides: where both are on two cores, a reply
that costs its server less than it costs us shows there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class Tally:
    def __init__(self, until: float) -> None:
        self.until = until
        self.seconds: list[float] = []
        self.statuses: dict[str, int] = {}
        self.size = 0


class Asking(asyncio.Protocol):
    """One connection: the next question when the answer is whole."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self.request, self.tally = request, tally
        self.left = self.asked = 0.0
        self.head = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.left:
            self.left -= len(data)
        else:
            self.head += data
            end = self.head.find(END_OF_HEAD)
            if end < 0:
                return
            self.left = self._length(end) - (len(self.head) - end - len(END_OF_HEAD))
            status = self.head[9:12].decode()
            self.tally.statuses[status] = self.tally.statuses.get(status, 0) + 1
            self.tally.size = self._length(end)
            self.head = b""
        if not self.left:
            self._answered()

    def _length(self, end: int) -> int:
        head = self.head[:end].lower()
        at = head.find(LENGTH)
        return int(head[at + len(LENGTH) :].partition(b"\r")[0]) if at >= 0 else 0

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
    request = orders["request"].encode()
    opened = [
        await loop.create_connection(lambda: Asking(request, tally), "127.0.0.1", orders["port"])
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
