"""The least a Python server can do: everything is answered with so many bytes, on our own server. A script:

bare.py PORT BYTES,BYTES    /0 answers with the first size, /1 with the second
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from kasparro.core.http_server import listen, serve


def application(sizes: list[int]) -> Any:
    bodies = {f"/{at}": b"x" * size for at, size in enumerate(sizes)}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = bodies[scope["path"]]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def main(port: int, sizes: list[int]) -> None:
    with listen("127.0.0.1", port) as listening:
        await serve(application(sizes), listening, asyncio.Event(), lambda: None)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")]))
