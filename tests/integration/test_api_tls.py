"""TLS: certificates are verified whatever is declared, authorities of one's own are trusted, client certificates are shown."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from integration.api_server import Api, Naps, declare, ids, json_answer
from integration.api_server import serve as serve_plainly
from kasparro.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    PermanentSourceError,
    SourceError,
)
from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.http.access import access_of
from kasparro.ingestion.http.tokens import TokenCache
from kasparro.ingestion.sources.api import ApiPages
from kasparro.services.check_steps import Outcome
from kasparro.services.network_check import TLS
from kasparro.services.source_check import check_source

pytestmark = pytest.mark.anyio

PAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)


class Files:
    """An authority, and the files that a catalog names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")

    def server(
        self, *hosts: str, authority: trustme.CA | None = None, dates: Any = (None, None)
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = (authority or self.authority).issue_cert(*hosts, not_before=dates[0], not_after=dates[1])
        issued.configure_cert(context)
        return context

    def client(self, authority: trustme.CA | None = None, password: bytes | None = None) -> None:
        issued = (authority or self.authority).issue_cert("client.example")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self.folder / "client.pem").write_bytes(chain)
        key = issued.private_key_pem.bytes()
        if password is not None:
            encryption = BestAvailableEncryption(password)
            key = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        (self.folder / "client.key").write_bytes(key)
        (self.folder / "both.pem").write_bytes(key + chain)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@contextlib.asynccontextmanager
async def serve(context: ssl.SSLContext, handler: Any = None) -> AsyncIterator[Api]:
    """Serve a record that says who asked, over TLS."""
    api = Api("")

    async def answer(request: web.Request) -> web.StreamResponse:
        api.requests.append(request)
        if handler is not None:
            return await handler(request)
        peer = request.transport.get_extra_info("peercert") if request.transport else None
        return json_answer([{"id": "known" if peer else "unknown"}])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        api.url = f"https://localhost:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()


class _Answer(http.server.BaseHTTPRequestHandler):
    """Says who asked. Handshakes as servers on OpenSSL do, alerts included, which asyncio's does not send."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request.settimeout(10)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        body = b'[{"id": "known"}]' if self.request.getpeercert() else b'[{"id": "unknown"}]'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextlib.contextmanager
def serve_by_openssl(context: ssl.SSLContext) -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def fetch(declaration: ApiSource) -> list[Any]:
    access = access_of(declaration, TokenCache())
    source = ApiPages(declaration, Naps().waiting(), access=access)
    return ids([page async for page in source.pages(None)])


def declared(api: Api, files: Files, **keys: Any) -> ApiSource:
    return declare(f"{api.url}/x", folder=files.folder, **{"retry": {"attempts": 1}, **keys})


async def test_an_authority_of_ones_own_is_trusted_where_it_is_declared(files):
    async with serve(files.server("localhost")) as api:
        assert await fetch(declared(api, files, tls={"ca": "ca.pem"})) == ["unknown"]
        with pytest.raises(
            PermanentSourceError, match=r"certificate is not valid: .*tls: {ca: authority.pem}"
        ):
            await fetch(declared(api, files))
        assert len(api.requests) == 1


@pytest.mark.parametrize(("tls", "outcome"), [({"ca": "ca.pem"}, Outcome.OK), (None, Outcome.FAIL)])
async def test_a_check_judges_a_certificate_as_a_run_does(files, tls, outcome):
    async with serve(files.server("localhost")) as api:
        check = await check_source(declared(api, files, tls=tls))
    assert [step.outcome for step in check.steps if step.step == TLS] == [outcome]
    assert check.failed == (outcome is Outcome.FAIL)


async def test_what_is_wrong_with_a_certificate_is_told(files):
    other = trustme.CA()
    faults = {
        "self-signed|unable to get local issuer.*tls: {ca": files.server("localhost", authority=other),
        "expired.*has to renew it": files.server("localhost", dates=PAST),
        "[Hh]ostname mismatch.*name the host as the certificate does": files.server("other.example"),
    }
    for said, context in faults.items():
        async with serve(context) as api:
            with pytest.raises(PermanentSourceError, match=said) as caught:
                await fetch(
                    declared(
                        api, files, tls={"ca": "ca.pem"}, auth={"type": "bearer", "token": "secret-token"}
                    )
                )
            assert api.requests == []
            assert not isinstance(caught.value, AuthenticationFailed)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown_where_it_is_declared(files, version):
    context = files.server("localhost")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    files.authority.configure_trust(context)
    files.client()
    with serve_by_openssl(context) as url:
        api = Api(url)
        for tls in ({"cert": "client.pem", "key": "client.key"}, {"cert": "both.pem"}):
            assert await fetch(declared(api, files, tls={"ca": "ca.pem", **tls})) == ["known"]
        with pytest.raises(SourceError, match=r"tls: {cert: \.\.\., key: \.\.\.}") as caught:
            await fetch(declared(api, files, tls={"ca": "ca.pem"}))
        assert isinstance(caught.value, AuthenticationFailed) or version == ssl.TLSVersion.TLSv1_3
        files.client(trustme.CA())
        with pytest.raises(SourceError, match=r"client certificate"):
            await fetch(declared(api, files, tls={"ca": "ca.pem", "cert": "both.pem"}))


async def test_an_encrypted_key_needs_its_password(files):
    files.client(password=b"open sesame")
    context = files.server("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    files.authority.configure_trust(context)
    tls = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    async with serve(context) as api:
        assert await fetch(declared(api, files, tls={**tls, "key_password": "open sesame"})) == ["known"]
        for password in (None, "wrong", "x" * 2000):
            with pytest.raises(ConfigurationError, match="key_password") as caught:
                await fetch(declared(api, files, tls={**tls, "key_password": password}))
            assert str(password) not in str(caught.value)


async def test_files_that_cannot_be_used_are_told_before_anything_is_asked(files):
    files.client()
    (files.folder / "text.pem").write_text("not a certificate")
    for tls, said in [
        ({"ca": "missing.pem"}, r"tls.ca: .*missing.pem cannot be read"),
        ({"ca": "."}, r"tls.ca: .* cannot be read"),
        ({"ca": "text.pem"}, r"tls.ca: .*text.pem does not hold certificates"),
        ({"cert": "client.pem", "key": "missing.key"}, r"tls.key: .*missing.key cannot be read"),
        ({"cert": "client.pem"}, "the key that belongs to it"),
        ({"cert": "text.pem", "key": "client.key"}, "the key that belongs to it"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            access_of(declare("https://h.example", folder=files.folder, tls=tls))


async def test_a_server_without_tls_is_told_at_once():
    async with serve_plainly(lambda _request: json_answer([])) as api:
        naps = Naps()
        source = ApiPages(declare(api.url.replace("http://", "https://")), naps.waiting())
        with pytest.raises(PermanentSourceError, match="does not speak TLS there"):
            [page async for page in source.pages(None)]
        assert (naps.taken, api.requests) == ([], [])


async def test_tokens_are_asked_for_with_the_same_certificates(files):
    context = files.server("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    files.authority.configure_trust(context)
    files.client()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return json_answer({"access_token": "the-token", "token_type": "bearer"})
        return json_answer([{"id": request.headers["Authorization"]}])

    async with serve(context, handler) as api:
        auth = {
            "type": "oauth2_client_credentials",
            "token_url": f"{api.url}/token",
            "client_id": "i",
            "client_secret": "the-secret",
        }
        tls = {"ca": "ca.pem", "cert": "both.pem"}
        assert await fetch(declared(api, files, tls=tls, auth=auth)) == ["Bearer the-token"]


async def test_a_host_that_is_redirected_to_sees_no_client_certificate(files):
    asking, required = files.server("localhost"), files.server("localhost")
    for context, mode in ((asking, ssl.CERT_OPTIONAL), (required, ssl.CERT_REQUIRED)):
        context.verify_mode = mode
        files.authority.configure_trust(context)
    files.client()
    async with serve(asking) as other:

        async def handler(_request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{other.url}/y")

        async with serve(required, handler) as api:
            tls = {"ca": "ca.pem", "cert": "both.pem"}
            found = await fetch(declared(api, files, tls=tls, redirect_hosts=[other.url]))
    assert found == ["unknown"]


async def test_files_on_the_web_are_read_with_the_declared_certificates(files):
    context = files.server("localhost")

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"id\n1\n")

    async with serve(context, handler) as api:
        source = CsvSource(name="f", path=f"{api.url}/a.csv", folder=files.folder, tls={"ca": "ca.pem"})

        def read() -> bytes:
            [location] = find(source)
            file = open_file(location)
            try:
                return file.read(100)
            finally:
                file.close()

        assert await asyncio.to_thread(read) == b"id\n1\n"
