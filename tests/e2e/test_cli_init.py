"""`sources init`: what it drafts is valid and can be ingested at once, and no credential is in it."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from cli_process import Kasparro


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(tmp_path, {"DATABASE_URL": database_url})


class Api:
    """Seven records in pages of three, in the shape that *answer* gives them; `asked` are the requests that came."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.url = ""


RECORDS = [{"id": n, "label": f"record {n}", "made": f"2026-01-0{n}T00:00:00Z"} for n in range(1, 8)]


def page_of(query, size=3):
    number = int(query.get("page", ["1"])[0])
    return RECORDS[(number - 1) * size : number * size], number


def next_url(api, query):
    records, number = page_of(query)
    return {"results": records, "next": f"{api.url}?page={number + 1}" if number < 3 else None}, {}


def link_header(api, query):
    records, number = page_of(query)
    return records, {"Link": f'<{api.url}?page={number + 1}>; rel="next"'} if number < 3 else {}


def numbered(_api, query):
    size = int(query.get("per_page", ["3"])[0])
    return {"data": {"list": page_of(query, size)[0]}}, {}


def cursor(_api, query):
    start = int(query.get("cursor", ["0"])[0])
    return {"items": RECORDS[start : start + 3], "next_cursor": str(start + 3) if start + 3 < 7 else None}, {}


@contextmanager
def serving(answer):
    api = Api(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            api.asked.append((self.path, dict(self.headers)))
            body, headers = api.answer(api, parse_qs(urlsplit(self.path).query))
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(200)
            sent = {"Content-Type": "application/json", "Content-Length": str(len(text))} | headers
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            """Requests are recorded in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}/v1/things"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "query", "kind"),
    [
        (next_url, "", "next_url"),
        (link_header, "", "link_header"),
        (numbered, "?page=1&per_page=3", "page"),
        (cursor, "", "cursor"),
    ],
)
def test_a_draft_is_valid_and_ingests_everything_at_once(kasparro, answer, query, kind):
    with serving(answer) as api:
        drafted = kasparro.run("sources", "init", api.url + query, "--output", "kasparro.yaml")
        validated = kasparro.run("config", "validate")
        (report,) = kasparro.json("ingest")
        (previewed, *_) = kasparro.json("sources", "preview", "things", "-n", "1")

    assert drafted.returncode == 0, drafted.stderr
    assert validated.returncode == 0, validated.stderr
    text = (kasparro.folder / "kasparro.yaml").read_text()
    assert f"{kind}" in text.split("pagination:")[1].splitlines()[0]
    assert (report["status"], report["records_inserted"]) == ("success", 7)
    assert previewed["becomes"]["title"] == "record 1"


def test_one_request_is_made_and_nothing_is_stored(kasparro):
    with serving(next_url) as api:
        drafted = kasparro.run("sources", "init", api.url)

    assert drafted.stdout.startswith("sources:\n")
    assert len(api.asked) == 1
    assert list(kasparro.folder.iterdir()) == []


def test_a_draft_on_stdout_is_a_catalog(kasparro):
    with serving(link_header) as api:
        kasparro.catalog(kasparro.run("sources", "init", api.url, "--name", "mine").stdout)
        (report,) = kasparro.json("ingest")

    assert (report["source"], report["records_inserted"]) == ("mine", 7)


@pytest.mark.parametrize("given", ["header", "parameter", "user"])
def test_a_credential_is_used_and_never_written(kasparro, given):
    with serving(link_header) as api:
        target, options, variable = {
            "header": (api.url, ["--header", "Authorization: Bearer s3cr3t-t0ken"], "THINGS_TOKEN"),
            "parameter": (f"{api.url}?api_key=s3cr3t-t0ken", [], "THINGS_KEY"),
            "user": (api.url.replace("://", "://me:s3cr3t-t0ken@"), [], "THINGS_PASSWORD"),
        }[given]
        drafted = kasparro.run("sources", "init", target, *options, "-o", "kasparro.yaml")
        path, headers = api.asked[0]
        kasparro.variables[variable] = "s3cr3t-t0ken"
        (report,) = kasparro.json("ingest")

    text = (kasparro.folder / "kasparro.yaml").read_text()
    assert "s3cr3t" not in text + drafted.stdout + drafted.stderr
    assert f"${{{variable}}}" in text
    assert f"set {variable} to it" in drafted.stderr
    assert "s3cr3t-t0ken" in path + headers.get("Authorization", "") or headers["Authorization"].startswith(
        "Basic "
    )
    assert report["records_inserted"] == 7


def test_a_credential_is_given_by_the_name_of_its_variable(kasparro):
    with serving(link_header) as api:
        unset = kasparro.run("sources", "init", api.url, "--auth", "bearer:MY_TOKEN")
        drafted = kasparro.run(
            "sources", "init", api.url, "--auth", "bearer:MY_TOKEN", MY_TOKEN="s3cr3t-t0ken"
        )

    assert unset.returncode == 2
    assert "MY_TOKEN is not set" in unset.stderr
    assert 'token: "${MY_TOKEN}"' in drafted.stdout
    assert [headers["Authorization"] for _, headers in api.asked] == ["Bearer s3cr3t-t0ken"]


def test_an_existing_source_is_replaced_by_force_only_and_others_stay(kasparro):
    kasparro.catalog("sources:\n  other:  # mine\n    type: csv\n    path: other.csv\n")
    with serving(link_header) as api:
        first = kasparro.run("sources", "init", api.url, "-o", "kasparro.yaml")
        before = (kasparro.folder / "kasparro.yaml").read_text()
        again = kasparro.run("sources", "init", api.url, "-o", "kasparro.yaml")
        after = (kasparro.folder / "kasparro.yaml").read_text()
        forced = kasparro.run("sources", "init", api.url, "-o", "kasparro.yaml", "--force")

    assert (first.returncode, again.returncode, forced.returncode) == (0, 2, 0)
    assert "already" in again.stderr
    assert before == after
    assert [one["name"] for one in kasparro.json("sources", "list")] == ["other", "things"]
    assert "other:  # mine" in after
    assert len(api.asked) == 2


def test_a_csv_file_is_drafted_with_its_dialect_key_and_map(kasparro):
    rows = [
        "sku;Label;date;price",
        *(f"A{n};Nüsse {n};0{n}.02.2026;{'NA' if n == 3 else n}" for n in range(1, 8)),
    ]
    (kasparro.folder / "goods.csv").write_bytes("\n".join([*rows, "B1;x;25.02.2026;1"]).encode("cp1252"))

    drafted = kasparro.run("sources", "init", "goods.csv", "-o", "kasparro.yaml")
    (report,) = kasparro.json("ingest")
    (first, *_) = kasparro.json("sources", "preview", "goods")

    text = (kasparro.folder / "kasparro.yaml").read_text()
    assert drafted.returncode == 0, drafted.stderr
    assert 'delimiter: ";"' in text
    assert 'null_values: ["", NA]' in text
    assert "key: sku" in text
    assert (report["status"], report["records_inserted"]) == ("success", 8)
    assert (first["becomes"]["title"], first["becomes"]["published_at"]) == (
        "Nüsse 1",
        "2026-02-01T00:00:00Z",
    )


def test_a_csv_file_without_a_header_is_noticed(kasparro):
    (kasparro.folder / "n.csv").write_text("1,2.5,a\n2,3.5,b\n")

    drafted = kasparro.run("sources", "init", "n.csv")

    assert "header: false" in drafted.stdout


def test_an_address_that_answers_with_csv_becomes_a_csv_source(kasparro):
    def answer(_api, _query):
        return b"id,name\n1,a\n2,b\n", {"Content-Type": "text/csv", "ETag": '"1"'}

    with serving(answer) as api:
        drafted = kasparro.run("sources", "init", api.url)

    assert "type: csv" in drafted.stdout, drafted.stderr


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://127.0.0.1:1/x", 1),
        ("no-such-file.csv", 1),
        ("http://", 2),
        ("http://[", 2),
        ("http://h:x/", 2),
    ],
)
def test_what_cannot_be_sampled_is_told_and_nothing_is_written(kasparro, target, code):
    drafted = kasparro.run("sources", "init", target, "-o", "kasparro.yaml")

    assert drafted.returncode == code
    assert "error: " in drafted.stderr
    assert list(kasparro.folder.iterdir()) == []
