"""Who is asked what: the servers that are started, and the requests that each of them gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from bench import peers_environment
from bench.measuring import tell

from bench_api import rows
from bench_api.servers import HERE, Running, free_port, running

KEY: Final = "a-key-that-only-the-benchmark-knows"
LIMITS: Final = (10, 100)
AUTH: Final = {"X-API-Key": KEY}
POSTGRAPHILE: Final = HERE / "peers" / "postgraphile"
FIELDS: Final = "nodes { id source sourceId data createdAt updatedAt }"


@dataclass(frozen=True, slots=True)
class Question:
    """What one server is asked, again and again, `others` in turn with `request`; `status` is what it has to answer."""

    name: str
    server: Running
    request: str
    status: str = "200"
    others: tuple[str, ...] = ()


def http(
    port: int, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: str = ""
) -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body])


@contextmanager
def ours(folder: Path, url: str, *, cache: bool) -> Iterator[Running]:
    """`kasparro serve` with everything on: keys, limits, the log as JSON, metrics."""
    port = free_port()
    environment = {
        "DATABASE_URL": url,
        "KASPARRO_CONFIG": str(folder / "kasparro.yaml"),
        "API_KEYS": f"{KEY}:read",
        "RATE_LIMIT_PER_MINUTE": "10000000",
        "LOG_FORMAT": "json",
        "PORT": str(port),
    }
    if not cache:
        environment["CACHE_MEGABYTES"] = "0"
    with running([sys.executable, "-m", "kasparro", "serve"], port, environment, folder) as server:
        yield server


@contextmanager
def questions(folder: Path, url: str, *, peers: bool) -> Iterator[list[Question]]:
    """Start everybody; each is asked for the first 10 and the first 100 records of a source of all rows."""
    with ExitStack() as stack:
        kept = stack.enter_context(ours(folder, url, cache=True))
        made = stack.enter_context(ours(folder, url, cache=False))
        found = [*_of_ours(kept, made)]
        found += _of_bare(stack, folder, [len(answer(kept.port, path_of(limit), AUTH)) for limit in LIMITS])
        found += _of_orm(stack, folder, url)
        if peers:
            found += _of_postgraphile(stack, folder, url)
            found += _of_datasette(stack, folder, url)
        yield found


def path_of(limit: int) -> str:
    return f"/data?source=records&limit={limit}"


def answer(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=dict(headers))) as got:  # our own
        content: bytes = got.read()
        return content


def _of_ours(kept: Running, made: Running) -> Iterator[Question]:
    for limit in LIMITS:
        yield Question(f"query-{limit}", made, http(made.port, path_of(limit), AUTH))
        yield Question(f"cached-{limit}", kept, http(kept.port, path_of(limit), AUTH))
    address = f"http://127.0.0.1:{kept.port}{path_of(10)}"
    with urlopen(Request(address, headers=AUTH)) as got:  # our own
        tag = got.headers["ETag"]
    known = AUTH | {"If-None-Match": tag}
    yield Question("not-modified", kept, http(kept.port, path_of(10), known), "304")


def _of_bare(stack: ExitStack, folder: Path, sizes: Sequence[int]) -> Iterator[Question]:
    port = free_port()
    command = [sys.executable, str(HERE / "bare.py"), str(port), ",".join(map(str, sizes))]
    server = stack.enter_context(running(command, port, {}, folder))
    for at, limit in enumerate(LIMITS):
        yield Question(f"bare-{limit}", server, http(port, f"/{at}"))


def _of_orm(stack: ExitStack, folder: Path, url: str) -> Iterator[Question]:
    port = free_port()
    command = [sys.executable, str(HERE / "peers" / "orm_app.py"), str(port)]
    server = stack.enter_context(running(command, port, {"DATABASE_URL": url}, folder))
    for limit in LIMITS:
        yield Question(f"orm-{limit}", server, http(port, path_of(limit)))


def _of_postgraphile(stack: ExitStack, folder: Path, url: str) -> Iterator[Question]:
    program = _installed_postgraphile(folder)
    if program is None:
        return
    port = free_port()
    options = ["--schema", "public", "--port", str(port), "--host", "127.0.0.1", "--dynamic-json"]
    options += ["--disable-query-log", "--disable-graphiql", "--no-setof-functions-contain-nulls"]
    command = [str(program), "--connection", url, *options]
    server = stack.enter_context(running(command, port, {"NODE_ENV": "production"}, folder))
    for limit in LIMITS:
        query = f'{{ allNormalizedData(condition: {{source: "records"}}, orderBy: ID_ASC, first: {limit}) {{ {FIELDS} }} }}'
        body = json.dumps({"query": query})
        yield Question(f"postgraphile-{limit}", server, http(port, "/graphql", None, "POST", body))


def _installed_postgraphile(folder: Path) -> Path | None:
    npm = shutil.which("npm")
    if npm is None:
        tell("there is no npm: PostGraphile is left out")
        return None
    target = folder / "postgraphile"
    shutil.copytree(POSTGRAPHILE, target)
    tell("installing PostGraphile")
    done = subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=target, check=False)  # noqa: S603
    if done.returncode:
        tell("PostGraphile cannot be installed: left out")
        return None
    return target / "node_modules" / ".bin" / "postgraphile"


def _of_datasette(stack: ExitStack, folder: Path, url: str) -> Iterator[Question]:
    if not peers_environment.available():
        return
    database = folder / "bench.db"
    rows.to_sqlite(url, database)
    port = free_port()
    command = [str(peers_environment.VENV / "bin" / "datasette"), "serve", "--immutable", str(database)]
    command += ["--port", str(port), "--setting", "max_returned_rows", "100"]
    server = stack.enter_context(running(command, port, {"HOME": os.environ.get("HOME", "/")}, folder))
    for limit in LIMITS:
        path = f"/bench/records.json?source=records&_size={limit}&_shape=objects&_nocount=1&_nofacet=1"
        yield Question(f"datasette-{limit}", server, http(port, path))
