"""Where a crash happens: a source that is really read, a database, an oracle, and the victims that are started on them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql

from conftest import on_database
from crash import audit, checker
from crash.failpoints import Failpoint
from crash.forks import Victim
from crash.oracle import Oracle, text_of
from crash.proxy import Plan, Proxy, killer
from crash.victim import DONE, Orders

PAGE = 7
numbers = itertools.count(1)


@dataclass
class Upstream:
    """An API on loopback that serves the pages of an oracle; page `cut` breaks off in its middle.

    At `/slices` it serves `timed` records by the time in their `at`, and keeps what it was `asked` for.
    """

    pages: list[bytes] = field(default_factory=list)
    cut: int | None = None
    url: str = ""
    timed: list[dict[str, int]] = field(default_factory=list)
    asked: list[tuple[int, int, int]] = field(default_factory=list)

    def serve(self, oracle: Oracle, generation: int = 2) -> None:
        self.pages = [text_of(page) for page in oracle.pages(PAGE, generation=generation)]
        self.cut = None

    def answer(self, number: int) -> bytes:
        return self.pages[number - 1] if number <= len(self.pages) else b"[]"

    def slice(self, since: int, until: int, page: int) -> bytes:
        self.asked.append((since, until, page))
        found = [record for record in self.timed if since <= record["at"] < until]
        return json.dumps(found[(page - 1) * PAGE : page * PAGE]).encode()


@contextmanager
def serving() -> Iterator[Upstream]:
    """An API on a port of its own, for as long as the block lasts."""
    api = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {name: int(values[0]) for name, values in parse_qs(asked.query).items()}
            number = query.get("page", 1)
            bounds = query.get("since", 0), query.get("until", 0)
            body = api.slice(*bounds, number) if asked.path == "/slices" else api.answer(number)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body[: len(body) // 2] if number == api.cut else body)
            except OSError:
                self.close_connection = True  # whoever asked is dead
            self.close_connection |= number == api.cut

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Scene:
    """One source, one database, one oracle; victims are started on it."""

    url: str
    kind: str
    oracle: Oracle
    folder: Path
    upstream: Upstream

    @property
    def place(self) -> str:
        match self.kind:
            case "api" | "sliced":
                return self.upstream.url
            case "csv":
                return str(self.folder / "things.csv")
            case _:
                return str(self.folder)

    def publish(self, generation: int = 2) -> None:
        """Make the source say what the oracle says."""
        self.upstream.serve(self.oracle, generation)
        (self.folder / "things.csv").write_text(self.oracle.csv(generation=generation))

    def orders(self, *faults: Failpoint, **more: Any) -> Orders:
        log = str(self.folder / f"victim-{next(numbers)}.log")
        return replace(Orders(self.url, self.kind, self.place, log, faults), **more)

    def start(self, *faults: Failpoint, **more: Any) -> Victim:
        return Victim(self.orders(*faults, **more)).start()

    async def run(self, *faults: Failpoint, **more: Any) -> int:
        return await self.start(*faults, **more).ended()

    async def run_through(self, plan: Plan, **more: Any) -> tuple[int, Proxy]:
        """Run a victim that reaches the database through a proxy with a *plan*."""
        async with Proxy(self.url, plan) as proxy:
            victim = self.start(url=proxy.url, **more)
            proxy.kill = killer(victim.pid)
            return await victim.ended(), proxy

    async def recover(self, **more: Any) -> None:
        """What a worker or a person does next: run it again, once the lease of the dead is over."""
        victim = self.start(**{"wait_for_lease": 20.0} | more)
        code = await victim.ended()
        checker.hold("I4", code == DONE, f"the run after it ended with {code}: {victim.said()[-2000:]}")

    def check_instant(self) -> None:
        checker.check_instant(self.url, self.oracle)

    def check_end(self) -> None:
        checker.check_end(self.url, self.oracle)

    async def check_recovery(self, **more: Any) -> None:
        """The whole procedure after a fault: what is there now, one more run, what is there then."""
        await asyncio.to_thread(checker.wait_until_gone, self.url)
        self.check_instant()
        await self.recover(**more)
        self.check_end()


def first_loaded(server: str, template: str, scene: Scene, **more: Any) -> str:
    """A database like *template* on *server*, with an audit and the first generation in it; its name."""
    name = f"kasparro_test_{os.getpid()}_crash_{'_'.join([scene.kind, *more])}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    scene.url = on_database(server, name)
    scene.publish(generation=1)
    victim = scene.start(**more)
    assert victim.joined() == DONE, victim.said()
    with psycopg.connect(scene.url, autocommit=True) as connection:
        audit.install(connection)
    checker.wait_until_gone(scene.url)
    return name
