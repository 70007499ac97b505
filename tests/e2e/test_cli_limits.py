"""A source that asks for a rest, as the command line sees it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli_process import Kasparro

CATALOG = """
sources:
  things:
    type: api
    url: {url}
    key: id
    rate_limit: {{budget: {{requests: 100, per: day}}}}
"""


class Resting:
    """Asks for a rest once, then answers."""

    url = ""
    asked = 0


@pytest.fixture
def api() -> Iterator[Resting]:
    api = Resting()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked += 1
            body = json.dumps([{"id": 1}]).encode()
            self.send_response(429 if api.asked == 1 else 200)
            if api.asked == 1:
                self.send_header("Retry-After", "3600")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """They are counted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_parked_source_says_so_and_is_asked_when_forced(tmp_path, database_url, api):
    kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url})
    kasparro.catalog(CATALOG.format(url=api.url))

    ended = kasparro.run("ingest")
    assert ended.returncode == 0, ended.stderr
    assert "parked until" in ended.stdout
    (again,) = kasparro.json("ingest")
    assert (again["status"], again["error_code"], api.asked) == ("partial", "source_parked", 1)

    (limit,) = kasparro.json("limits")
    assert limit == {
        "source": "things",
        "limit": "things",
        "not_before": limit["not_before"],
        "because": "rest",
        "budget_used": 1,
        "failures": 0,
        "failure": None,
    }
    assert "(parked until " in kasparro.run("runs", "list").stdout
    assert again["resume_at"][:19] == limit["not_before"][:19].replace(" ", "T")

    (forced,) = kasparro.json("ingest", "--force")
    assert (forced["status"], forced["records_inserted"], forced["resume_at"]) == ("success", 1, None)
    assert "things" in kasparro.run("limits").stdout
