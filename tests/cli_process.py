"""Runs the command line in a folder and an environment of its own: in this process, or as one of its own."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

from kasparro.cli.main import main

PATIENCE = 90
"""Seconds after which a process is taken to hang."""

INHERITED = ("PATH", "HOME", "LANG", "SYSTEMROOT", "KASPARRO_PG_BINDIR")


@contextmanager
def logging_put_back() -> Iterator[None]:
    """Undo what configuring the logs does to the process."""
    root, threads, unraisable = logging.getLogger(), threading.excepthook, sys.unraisablehook
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        threading.excepthook, sys.unraisablehook = threads, unraisable
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()


class Started(subprocess.Popen[str]):
    """One that does not outlive a test that fails: nobody is left to end it."""

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *error)  # type: ignore[arg-type]


@dataclass
class Kasparro:
    """A folder with a catalog, and an environment that holds nothing but what is given."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def catalog(self, text: str) -> None:
        (self.folder / "kasparro.yaml").write_text(text)

    def csv(self, name: str, rows: int, *, broken: int = 0) -> None:
        """A declared CSV source *name*; `broken` of its rows have too many cells."""
        lines = [f"{n},{name} {n}" for n in range(rows)] + [f"b{n},{name},too many" for n in range(broken)]
        (self.folder / f"{name}.csv").write_text("\n".join(["id,name", *lines, ""]))

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return kept | {"COLUMNS": "200", "PORT": "0"} | self.variables

    def start(self, *arguments: str, **variables: str) -> Started:
        return Started(
            [sys.executable, "-m", "kasparro", *arguments],
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def process(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """As a process of its own, to its end."""
        with self.start(*arguments, **variables) as process:
            out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """In this process, which spares it the imports."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            logging_put_back(),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            patch.chdir(self.folder)
            for name in set(os.environ) - set(self.environment):
                patch.delenv(name)
            mild = {"ETL_NICE": "0"}  # it would hold for this process, for good
            for name, value in (self.environment | mild | variables).items():
                patch.setenv(name, value)
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What the command prints with --json, and nothing but that."""
        ended = self.run(*arguments, "--json")
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)


CSV = "sources:\n  {name}:\n    type: csv\n    path: {name}.csv\n    key: id\n"


@dataclass
class GatedApi:
    """An API of pages of five records, which answers a page only when it may: up to `allowed`."""

    pages: int = 8
    allowed: int = 0
    asked: list[int] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def allow(self, page: int) -> None:
        with self.changed:
            self.allowed = page
            self.changed.notify_all()

    def wait_until_asked_for(self, page: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: page in self.asked, PATIENCE), self.asked

    def answer(self, page: int) -> list[dict[str, Any]]:
        with self.changed:
            self.asked.append(page)
            self.changed.notify_all()
            self.changed.wait_for(lambda: page <= self.allowed, PATIENCE)
        first = (page - 1) * 5
        return (
            [{"id": n, "title": f"record {n}"} for n in range(first, first + 5)] if page <= self.pages else []
        )

    @property
    def source(self) -> str:
        return (
            f"sources:\n  gated:\n    type: api\n    url: {self.url}/items\n    key: id\n"
            "    pagination: {type: page, param: page, start: 1}\n"
        )


@contextmanager
def gated_api() -> Iterator[GatedApi]:
    api = GatedApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(self.path.partition("page=")[2] or 1)
            body = json.dumps(api.answer(page)).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # whoever asked is gone

        def log_message(self, *_: object) -> None:
            """Requests are recorded in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.allow(api.pages + 1)
        server.shutdown()
        server.server_close()
        thread.join()
