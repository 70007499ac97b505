"""One file on a web server on loopback, served as servers do: with ranges or without, cut short, replaced, redirected."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class ServedFile:
    """What is served, and how; may be changed between requests. `requests` are the headers that came, by path."""

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    framing: str = "length"  # length | chunks | close
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next bodies end, one after the other; whole when there are no more."""
    statuses: list[int] = field(default_factory=list)
    """What the next answers are instead."""
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def asked_ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


@contextmanager
def serve_file(file: ServedFile) -> Iterator[str]:
    """Serve *file* under every path; yields the base address."""

    class Handler(_Handler):
        served = file

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    served: ServedFile
    protocol_version = "HTTP/1.1"

    def handle(self):
        with suppress(ConnectionError):  # the reader has what it wanted
            super().handle()

    def do_GET(self):
        file = self.served
        file.requests.append((self.path, dict(self.headers.items())))
        if self.path in file.redirects:
            self._answer(302, b"", {"Location": file.redirects[self.path]})
        elif file.statuses:
            self._answer(file.statuses.pop(0), b"said by the server", {})
        elif file.ranges and "Range" in self.headers:
            self._range(self.headers["Range"])
        else:
            self._answer(200, file.content, {})

    def _range(self, asked: str) -> None:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        size = len(self.served.content)
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if start >= size:
            self._answer(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        named = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._answer(206, self.served.content[start:end], named)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        file = self.served
        self.send_response(status)
        if file.etag:
            self.send_header("ETag", file.etag)
        for name, value in {**headers, **file.headers}.items():
            self.send_header(name, value)
        plain = status != 200 or file.framing == "length"
        if plain:
            self.send_header("Content-Length", str(len(body)))
        elif file.framing == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts and status in {200, 206} else None
        if plain or file.framing == "close":
            self.wfile.write(body[:cut])
        else:
            self._send_chunks(body[:cut], whole=cut is None)
        if cut is not None or (not plain and file.framing == "close"):
            self.close_connection = True

    def _send_chunks(self, body: bytes, *, whole: bool) -> None:
        for start in range(0, len(body), 65_536):
            piece = body[start : start + 65_536]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if whole:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextmanager
def serve_stalling(stalled: threading.Event) -> Iterator[str]:
    """Serve a large file whose first range comes; asked for another, the server sets *stalled* and says nothing more."""
    size, released = 1 << 26, threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self._head(200, size)

        def do_GET(self):
            start, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
            length = int(end) + 1 - int(start)
            self._head(206, length, {"Content-Range": f"bytes {start}-{end}/{size}"})
            if start == "0":
                self.wfile.write(b"1\n" * (length // 2))
                return
            stalled.set()
            released.wait(60)
            self.close_connection = True

        def _head(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            version = {"ETag": '"one"', "Last-Modified": "Wed, 25 Nov 2026 20:00:00 GMT"}
            for name, value in {**version, "Content-Length": str(length), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            released.set()
            server.shutdown()
            thread.join()
