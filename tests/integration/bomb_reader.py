"""A process with little memory that is answered with a bomb: its NAME in, what became of it as JSON out."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli

from integration.api_server import Naps, declare, http_answer, scripted, serve_bytes
from integration.large_answer_reader import resident
from kasparro.core.errors import SourceError
from kasparro.ingestion.sources.api import ApiPages

if sys.version_info >= (3, 14):
    from compression.zstd import compress as zstd_compress
else:
    from backports.zstd import compress as zstd_compress

MIB = 1024 * 1024
ROOM = 300 * MIB
"""More than the process has already: what it may address beyond that."""


def squeezed(pack: Callable[[], Any], size: int = 256) -> bytes:
    packer = pack()
    pieces = [packer.compress(b"0" * MIB) for _ in range(size)]
    return b"".join([*pieces, packer.flush()])


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE r [<!ENTITY a0 "ha">{entities}]><r><item>&a11;</item></r>'.encode()


BOMBS: dict[str, Callable[[], tuple[bytes, str, dict[str, Any]]]] = {
    "gzip": lambda: (squeezed(lambda: zlib.compressobj(9, wbits=31)), "gzip", {}),
    "gzip in gzip": lambda: (gzip.compress(squeezed(lambda: zlib.compressobj(9, wbits=31))), "gzip, gzip", {}),
    "deflate": lambda: (squeezed(lambda: zlib.compressobj(9)), "deflate", {}),
    "br": lambda: (brotli.compress(b"0" * 64 * MIB, quality=5), "br", {}),
    "zstd": lambda: (zstd_compress(b"0" * 64 * MIB), "zstd", {}),
    "depth": lambda: (b"[" * 9 * MIB, "", {}),
    "depth of objects": lambda: (b'{"items": [' + b'{"a":' * 2 * MIB, "", {}),
    "depth in a record": lambda: (b"[" + b"[" * 100_000 + b"]" * 100_000 + b"]", "", {}),
    "width": lambda: (json.dumps([{f"k{n}": n for n in range(300_000)}]).encode(), "", {}),
    "text": lambda: (b'[{"id": "' + b"x" * 9 * MIB + b'"}]', "", {}),
    "quotes": lambda: (b'["' + b'\\"' * 5 * MIB, "", {}),
    "numbers": lambda: (b'[{"id": %b, "x": 1e1000000}]' % (b"9" * 4_301), "", {}),
    "digits": lambda: (b'[{"id": 1, "x": %b}]' % (b"9" * 5 * MIB), "", {}),
    "laughs": lambda: (laughs(), "", {"format": "xml", "records": "item"}),
    "depth of xml": lambda: (b"<a>" * 3 * MIB, "", {"format": "xml", "records": "item"}),
    "attribute": lambda: (b'<r x="' + b"y" * 12 * MIB, "", {"format": "xml", "records": "item"}),
    "cell": lambda: (b'id,x\n1,"' + b"y" * 40 * MIB, "", {"format": "csv"}),
    "line": lambda: (b'{"id": "' + b"y" * 70 * MIB, "", {"format": "ndjson"}),
}  # fmt: skip


def addressed() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


async def main(name: str) -> dict[str, Any]:
    content, encoding, keys = BOMBS[name]()
    headers = [f"Content-Encoding: {encoding}"] if encoding else []
    answer = http_answer(content, *headers)
    del content
    async with serve_bytes(scripted(answer)) as url:
        declaration = declare(url, retry={"attempts": 1}, **keys)
        limit = addressed() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before, started = resident(), time.process_time()
        most, records, rejects, said = 0, 0, 0, ""
        try:
            async for page in ApiPages(declaration, Naps().waiting()).pages(None):
                records += len(page.records)
                rejects += len(page.rejects)
                most = max(most, resident())
        except SourceError as error:
            said = error.code
        most = max(most, resident())
    return {
        "records": records,
        "rejects": rejects,
        "code": said,
        "seconds": round(time.process_time() - started, 2),
        "grown_mib": round((most - before) / MIB, 1),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1]))) + "\n")
