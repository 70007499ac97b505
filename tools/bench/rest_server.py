"""A REST API that costs its client's machine as little as it can: every answer is made before the first question.

A script: `rest_server.py RECORDS` serves them in pages of a hundred on a free port of the loopback, and prints the port.

    /<latency in ms>/pages?page=<n>        counted pages, with the total
    /<latency in ms>/cursor?after=<token>  each page names the token of the next
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

try:
    import uvloop  # cheaper still
except ImportError:
    uvloop = None  # type: ignore[assignment]

SIZE = 100
SEED = 2026
END_OF_HEAD = b"\r\n\r\n"
Answers = dict[tuple[str, str], bytes]
"""By the kind of pages, and the number or the token."""


def main(records: int) -> None:
    if uvloop is not None:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(answers(records)))


async def serve(prepared: Answers) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Exchange(prepared), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Exchange(asyncio.Protocol):
    """One connection, kept open: GET in, the prepared answer out when the latency is over."""

    def __init__(self, prepared: Answers) -> None:
        self.prepared = prepared
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while END_OF_HEAD in self.received:
            head, _, self.received = self.received.partition(END_OF_HEAD)
            target = urlsplit(head.split(b" ", 2)[1].decode())
            _, latency, kind = target.path.split("/")
            ((_, (which,)),) = (parse_qs(target.query) or {"": [""]}).items()
            answer = self.prepared.get((kind, which)) or response({"items": []})
            asyncio.get_running_loop().call_later(int(latency) / 1000, self.transport.write, answer)


def answers(records: int) -> Answers:
    made: Answers = {}
    count = -(-records // SIZE)
    for number in range(1, count + 1):
        items = [record(n) for n in range((number - 1) * SIZE, min(number * SIZE, records))]
        counted = {"page": number, "per_page": SIZE, "total": records, "total_pages": count, "items": items}
        made["pages", str(number)] = response(counted)
        following = token(number + 1) if number < count else None
        made["cursor", token(number) if number > 1 else ""] = response({"items": items, "next": following})
    return made


def response(body: dict[str, Any]) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def token(number: int) -> str:
    return hashlib.sha256(f"{SEED} {number}".encode()).hexdigest()[:32]


def record(number: int) -> dict[str, Any]:
    random_ = random.Random(SEED * 1_000_003 + number)  # noqa: S311  # the same record every time
    return {
        "id": number,
        "name": f"record {number}",
        "owner": {"login": f"owner{random_.randint(1, 999)}", "id": random_.randint(1, 10**6)},
        "url": f"https://api.example.org/items/{number}",
        "description": " ".join(f"word{random_.randint(1, 9999)}" for _ in range(8)),
        "created_at": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:30:00Z",
        "kind": random_.choice(("alpha", "beta", "gamma")),
        "score": round(random_.uniform(0, 100), 3),
        "stars": random_.randint(0, 10**5),
        "archived": random_.random() < 0.1,  # noqa: PLR2004  # one in ten
        "tags": [f"tag{random_.randint(1, 50)}" for _ in range(3)],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
