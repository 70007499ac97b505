"""A process that reads one large answer, made while it is sent, and tells by how much its memory grew: FORM and MiB in, JSON out."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.sources.api import ApiPages

MIB = 1024 * 1024
FILLER = "some words, [brackets] and {braces} " * 6
FORMS: dict[str, tuple[str, str, str, str, str]] = {
    "json": ("application/json", '{"total": 7, "data": [', '{{"id":{n},"tags":[{{"a":1}}],"text":"{f}"}}', ",", '],"next":null}'),
    "ndjson": ("application/x-ndjson", "", '{{"id":{n},"text":"{f}"}}', "\n", "\n"),
    "csv": ("text/csv", "id,text\n", '{n},"{f}"', "\n", "\n"),
    "xml": ("application/xml", "<r><total>7</total>", "<item><id>{n}</id><text>{f}</text></item>", "\n", "</r>"),
}  # fmt: skip
BLOCK = 2_000


def main(form: str, size: int) -> dict[str, Any]:
    kind, before, template, between, after = FORMS["json" if form == "gzip" else form]
    sent = size * MIB // (len(template.format(n=1_000_000, f=FILLER)) + len(between))

    def pieces() -> Iterator[bytes]:
        yield before.encode()
        for first in range(0, sent, BLOCK):
            block = (template.format(n=n, f=FILLER) for n in range(first, min(first + BLOCK, sent)))
            yield ((between if first else "") + between.join(block)).encode()
        yield after.encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.send_header("Transfer-Encoding", "chunked")
            packer = zlib.compressobj(level=1, wbits=31) if form == "gzip" else None
            if packer is not None:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            for piece in pieces():
                self.chunk(piece if packer is None else packer.compress(piece))
            self.chunk(b"" if packer is None else packer.flush())
            self.wfile.write(b"0\r\n\r\n")

        def chunk(self, data: bytes) -> None:
            if data:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

        def log_message(self, *_args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = {"records": "item"} if form == "xml" else {}
    url = f"http://127.0.0.1:{server.server_port}/"
    declaration = ApiSource.model_validate({"name": "large", "url": url, **keys})
    records, grown = asyncio.run(read(declaration))
    return {"sent": sent, "records": records, "grown_mib": round(grown / MIB, 1)}


async def read(declaration: ApiSource) -> tuple[int, int]:
    before, most, records = resident(), 0, 0
    async for page in ApiPages(declaration).pages(None):
        records += len(page.records)
        most = max(most, resident())
    return records, most - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]))) + "\n")
