"""`sources check` and `sources preview`: each step on the way to the first records, with its outcome."""

import contextlib
import json
import socket
import ssl
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli_process import CSV, Kasparro
from tap_source import tap_catalog


@pytest.fixture
def kasparro(tmp_path):
    return Kasparro(tmp_path, {"KASPARRO_DATA_DIR": str(tmp_path / "data")})


@contextlib.contextmanager
def serving(answer, certificate=None):
    """A server whose every answer is what *answer* makes of the request's headers: a status and a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer(self.headers)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Whoever only looks at the certificate hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/items"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def outcomes(checked):
    return {step["step"]: step["outcome"] for step in checked["steps"]}


def details(checked):
    return {step["step"]: step["detail"] for step in checked["steps"]}


def test_every_step_to_the_first_records_of_an_api_is_told(kasparro):
    with serving(
        lambda _: (200, {"total": 7, "items": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]})
    ) as url:
        kasparro.catalog(
            f"sources:\n  things:\n    type: api\n    url: {url}\n    pagination: {{type: page, param: p}}\n"
        )
        checked = kasparro.json("sources", "check", "things")

    assert outcomes(checked) == {
        "name resolution": "ok",
        "connection": "ok",
        "tls": "skipped",
        "authentication": "ok",
        "first page": "ok",
        "identity": "ok",
        "mapping": "ok",
    }
    assert details(checked)["first page"].startswith("2 records of 7, ")
    assert details(checked)["first page"].endswith("; pagination page: next is page 2")
    assert details(checked)["identity"] == "key id: 1, 2"
    assert details(checked)["mapping"].startswith("title 2/2; empty: description")
    assert not (kasparro.folder / "data").exists()


def test_a_refused_credential_is_the_step_that_fails(kasparro):
    def answer(headers):
        return (
            (200, [{"id": 1}]) if headers["Authorization"] == "Bearer good-token" else (401, {"error": "no"})
        )

    with serving(answer) as url:
        kasparro.catalog(
            f'sources:\n  things:\n    type: api\n    url: {url}\n    auth: {{type: bearer, token: "${{TOKEN}}"}}\n'
        )
        kasparro.variables["TOKEN"] = "bad-token"
        refused = kasparro.json("sources", "check", "things", code=1)
        shown = kasparro.run("sources", "check", "things")
        kasparro.variables["TOKEN"] = "good-token"
        accepted = kasparro.json("sources", "check", "things")

    assert (outcomes(refused)["authentication"], outcomes(refused)["first page"]) == ("fail", "skipped")
    assert (refused["error_code"], refused["reachable"]) == ("auth_failed", False)
    assert outcomes(accepted)["authentication"] == "ok"
    assert shown.returncode == 1
    assert "error: " in shown.stderr
    assert "bad-token" not in shown.stdout + shown.stderr + json.dumps(refused)


def test_a_name_without_an_address_is_told_and_nothing_else_is_tried(kasparro):
    kasparro.catalog("sources:\n  things: {type: api, url: 'http://no-such-host.invalid/items'}\n")

    checked = kasparro.json("sources", "check", "things", code=1)

    assert outcomes(checked) == {"name resolution": "fail", "first page": "skipped"}
    assert "no-such-host.invalid has no address" in checked["error"]
    assert checked["steps"][0]["hint"]


def test_a_port_where_nobody_listens_is_told(kasparro):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    kasparro.catalog(f"sources:\n  things: {{type: api, url: 'http://127.0.0.1:{port}/items'}}\n")

    checked = kasparro.json("sources", "check", "things", code=1)

    assert outcomes(checked) == {"name resolution": "ok", "connection": "fail", "first page": "skipped"}


def test_a_certificate_of_nobody_we_trust_is_told(kasparro, self_signed):
    with serving(lambda _: (200, [{"id": 1}]), self_signed) as url:
        kasparro.catalog(f"sources:\n  things: {{type: api, url: '{url}', retry: {{attempts: 1}}}}\n")
        checked = kasparro.json("sources", "check", "things", code=1)

    assert outcomes(checked)["tls"] == "fail"
    assert "self-signed certificate" in details(checked)["tls"]


def test_a_certificate_that_is_trusted_tells_its_issuer_and_its_end(kasparro, self_signed):
    with serving(lambda _: (200, [{"id": 1, "name": "a"}]), self_signed) as url:
        kasparro.catalog(f"sources:\n  things: {{type: api, url: '{url}', retry: {{attempts: 1}}}}\n")
        checked = kasparro.process("sources", "check", "things", "--json", SSL_CERT_FILE=str(self_signed))

    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert outcomes(found)["tls"] == "ok"
    assert "issued by 127.0.0.1, valid until" in details(found)["tls"]


@pytest.fixture
def self_signed(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def test_records_without_identity_or_that_do_not_fit_are_told_with_a_reason(kasparro):
    records = [{"id": 1, "when": "2026-01-01"}, {"when": "2026-01-02"}, {"id": 3, "when": "yesterday"}]
    with serving(lambda _: (200, records)) as url:
        kasparro.catalog(
            f"sources:\n  things:\n    type: api\n    url: {url}\n    map: {{published_at: when, title: id}}\n"
        )
        checked = kasparro.json("sources", "check", "things")

    assert (outcomes(checked)["identity"], outcomes(checked)["mapping"]) == ("warn", "warn")
    assert details(checked)["identity"].startswith("key id: 1 of 3 records would be rejected (no_identity 1)")
    assert "in published_at" in details(checked)["mapping"]


def test_a_page_of_which_nothing_fits_fails_the_check(kasparro):
    with serving(lambda _: (200, [{"name": "a"}, {"name": "b"}])) as url:
        kasparro.catalog(f"sources:\n  things: {{type: api, url: '{url}'}}\n")
        checked = kasparro.json("sources", "check", "things", code=1)

    assert outcomes(checked)["identity"] == "fail"


def test_keys_that_are_not_unique_are_a_warning(kasparro):
    with serving(lambda _: (200, [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])) as url:
        kasparro.catalog(f"sources:\n  things: {{type: api, url: '{url}'}}\n")
        checked = kasparro.json("sources", "check", "things")

    assert outcomes(checked)["identity"] == "warn"


def test_the_files_of_a_csv_source_and_how_they_are_written_are_told(kasparro):
    kasparro.catalog("sources:\n  airports: {type: csv, path: 'air*.csv', key: id}\n")
    (kasparro.folder / "airports.csv").write_bytes("id;name\n1;Zürich\n2;Köln\n".encode("cp1252"))
    (kasparro.folder / "air2.csv").write_text("id;name\n3;c\n")

    checked = kasparro.json("sources", "check", "airports")

    assert outcomes(checked) == {
        "files": "ok",
        "format": "ok",
        "first page": "ok",
        "identity": "ok",
        "mapping": "ok",
    }
    assert details(checked)["files"].startswith("2 files: air2.csv, airports.csv")
    assert "delimiter ;" in details(checked)["format"]
    assert "2 columns: id, name" in details(checked)["format"]


def test_a_file_that_is_not_there_is_the_step_that_fails(kasparro):
    kasparro.catalog(CSV.format(name="airports"))

    checked = kasparro.json("sources", "check", "airports", code=1)

    assert outcomes(checked) == {"files": "fail", "first page": "skipped"}
    assert checked["error_code"] == "source_refused"


def test_a_tap_is_checked_like_everything_else(kasparro):
    streams = {"users": [{"id": 1, "name": "a"}], "orders": [{"id": 1, "name": "b"}]}
    kasparro.catalog(tap_catalog(config={"streams": streams}))

    checked = kasparro.json("sources", "check", "tapped")
    previewed = kasparro.json("sources", "preview", "tapped")
    (listed,) = kasparro.json("sources", "list")

    assert set(outcomes(checked).values()) == {"ok"}
    assert details(checked)["program"] == f"{sys.executable}; config: streams"
    assert details(checked)["streams"] == "selected: users, orders; seen: users (key id), orders (key id)"
    assert details(checked)["identity"] == "key as the tap says: users|1, orders|1"
    assert [one["becomes"]["source_id"] for one in previewed] == ["users|1", "orders|1"]
    assert listed["location"] == sys.executable


def test_where_to_look_when_nothing_comes_is_told_by_the_kind_of_source(kasparro):
    (kasparro.folder / "nothing.csv").write_text("id,name\n")
    with serving(lambda _: (200, [])) as url:
        api = f"  things: {{type: api, url: '{url}'}}\n  rows: {{type: csv, path: nothing.csv}}\n"
        kasparro.catalog(tap_catalog(config={"streams": {}}) + api)
        checked = {name: kasparro.json("sources", "check", name) for name in ("tapped", "things", "rows")}

    hints = {
        name: next(step["hint"] for step in one["steps"] if step["step"] == "first page")
        for name, one in checked.items()
    }
    assert "`streams`" in hints["tapped"]
    assert "`params`" in hints["things"]
    assert "`path`" in hints["rows"]


def test_a_tap_that_is_not_installed_is_the_step_that_fails(kasparro):
    kasparro.catalog("sources:\n  tapped: {type: singer, command: no-such-tap}\n")

    checked = kasparro.json("sources", "check", "tapped", code=1)

    assert outcomes(checked) == {"program": "fail", "first page": "skipped"}
    assert "Install the tap" in checked["steps"][0]["hint"]


def test_people_are_shown_the_steps_and_what_to_do(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    (kasparro.folder / "airports.csv").write_text("id,city\n1,a\n")

    shown = kasparro.run("sources", "check", "airports")

    assert shown.returncode == 0
    assert "mapping: Declare `map: {title: ...}`" in shown.stdout
