"""Redirects to other hosts: followed where they are declared, without any credential, and to public addresses unless named."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from file_server import ServedFile, serve_file
from integration.api_server import Api, Naps, declare, ids, json_answer, serve
from kasparro.core.errors import ConfigurationError, ForeignOrigin, PermanentSourceError, SourceError
from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.http.access import access_of
from kasparro.ingestion.http.guarded import Network
from kasparro.ingestion.http.tokens import TokenCache
from kasparro.ingestion.sources.api import ApiPages

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t+value/with=signs&more"
AUTHS = {
    "bearer": {"type": "bearer", "token": SECRET},
    "key in a header": {"type": "api_key", "in": "header", "name": "X-API-Key", "value": SECRET},
    "key in the query": {"type": "api_key", "in": "query", "name": "k", "value": SECRET},
    "cookie": {"type": "api_key", "in": "header", "name": "Cookie", "prefix": "sid=", "value": SECRET},
    "basic": {"type": "basic", "username": "someone", "password": SECRET},
}


async def fetch(declaration: ApiSource, network: Network | None = None) -> list[Any]:
    access = access_of(declaration, TokenCache(), network)
    return [page async for page in ApiPages(declaration, Naps().waiting(), access=access).pages(None)]


def redirecting_to(location: str) -> Any:
    async def handler(request: web.Request) -> web.StreamResponse:
        key = f"&{request.query_string}" if request.query_string else ""  # as servers do that keep the query
        return web.Response(status=302, headers={"Location": location.replace("{key}", key)})

    return handler


async def records(_request: web.Request) -> web.StreamResponse:
    return json_answer([{"id": 1}])


@pytest.mark.parametrize("auth", AUTHS)
async def test_a_declared_host_gets_the_request_and_nothing_else(auth):
    async with serve(records) as other, serve(redirecting_to(f"{other.url}/file?sig=abc{{key}}")) as api:
        with capture_logs() as logs:
            found = await fetch(
                declare(
                    f"{api.url}/x",
                    auth=AUTHS[auth],
                    headers={"X-Tenant": "acme", "X-Session": "a credential in disguise"},
                    redirect_hosts=[other.url],
                )
            )
        assert ids(found) == [1]
        [request] = other.requests
        assert request.path_qs == "/file?sig=abc"
        assert {name.lower() for name in request.headers} == {
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
        }
        assert found[0].records[0].origin.url == f"{other.url}/file"
    assert SECRET not in repr(logs)
    assert "abc" not in repr(found)


async def test_a_way_back_home_gets_no_credential_either():
    seen: list[dict[str, str]] = []

    async def home(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        if request.path == "/chosen-by-somebody-else":
            return json_answer([{"id": 1}])
        raise web.HTTPFound(f"{other.url}/away")

    async def away(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{api.url}/chosen-by-somebody-else")

    async with serve(away) as other, serve(home) as api:
        declaration = declare(f"{api.url}/x", auth=AUTHS["bearer"], redirect_hosts=[other.url])
        assert ids(await fetch(declaration)) == [1]
    assert ["Authorization" in headers for headers in seen] == [True, False]


@pytest.mark.parametrize("way", ["path", "another parameter", "encoded"])
async def test_a_redirect_that_would_carry_the_credential_away_is_refused(way):
    query = {
        "path": f"/{SECRET}",
        "another parameter": f"/?a=x{SECRET}",
        "encoded": "/?a=xs3cr3t%2Bvalue%2Fwith%3Dsigns%26more",
    }
    async with serve(records) as other, serve(redirecting_to(other.url + query[way])) as api:
        declaration = declare(f"{api.url}/x", auth=AUTHS["bearer"], redirect_hosts=[other.url])
        with pytest.raises(ForeignOrigin, match="contains the credential") as caught:
            await fetch(declaration)
        assert other.requests == []
    assert "s3cr3t" not in str(caught.value)


async def test_an_error_of_another_host_says_that_no_credential_was_sent():
    async def refusing(_request: web.Request) -> web.StreamResponse:
        return json_answer({"message": "signature"}, status=401)

    async with serve(refusing) as other, serve(redirecting_to(f"{other.url}/f?X-Sig=abc")) as api:
        declaration = declare(f"{api.url}/x", auth=AUTHS["bearer"], redirect_hosts=[other.url])
        with pytest.raises(
            PermanentSourceError, match="no credential was sent, because a redirect"
        ) as caught:
            await fetch(declaration)
        assert str(caught.value).startswith(f"{other.url}/f: answered 401")


async def test_redirects_can_be_refused_altogether():
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/y":
            return json_answer([])
        raise web.HTTPFound("/y")

    async with serve(handler) as api:
        assert ids(await fetch(declare(f"{api.url}/x"))) == []
        with pytest.raises(PermanentSourceError, match=r"redirects are declared not to be followed"):
            await fetch(declare(f"{api.url}/x", redirects="none"))
        assert [request.path for request in api.requests] == ["/x", "/y", "/x"]


@pytest.mark.parametrize(
    "declared",
    ["https://127.0.0.1", "127.0.0.1", "http://127.0.0.1:1", "http://*.0.0.1", "http://localhost", "*"],
)
async def test_scheme_host_and_port_must_all_be_declared(declared):
    async with serve(records) as other, serve(redirecting_to(other.url)) as api:
        with pytest.raises(ForeignOrigin):
            await fetch(declare(f"{api.url}/x", redirect_hosts=[declared]))
        assert other.requests == []


async def test_a_file_on_the_web_follows_declared_redirects_without_the_credential():
    served = ServedFile(b"id\n1\n")
    with serve_file(served) as elsewhere:
        home = ServedFile(b"", redirects={"/a.csv": f"{elsewhere}/b.csv?X-Amz-Signature=abc"})
        with serve_file(home) as base:

            def read(**declared: Any) -> bytes:
                source = CsvSource(
                    name="f", path=f"{base}/a.csv", auth=AUTHS["bearer"], headers={"X-T": "a"}, **declared
                )
                [location] = find(source)
                file = open_file(location)
                try:
                    return file.read(100)
                finally:
                    file.close()

            assert await asyncio.to_thread(read, redirect_hosts=[elsewhere]) == b"id\n1\n"
            with pytest.raises(ForeignOrigin):
                await asyncio.to_thread(read)
    assert home.requests[0][1]["Authorization"] == f"Bearer {SECRET}"
    for path, headers in served.requests:
        assert path == "/b.csv?X-Amz-Signature=abc"
        assert not {"Authorization", "X-T"} & headers.keys()
        assert "Range" in headers


def test_a_host_that_is_none_is_a_fault_of_the_configuration():
    with pytest.raises(ConfigurationError, match="not the name of a host"):
        access_of(declare("https://h.example", redirect_hosts=["x" + "ü" * 200 + ".example"]))


# --- addresses a source must not lead to ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Canary:
    """Listens on loopback and counts who comes, whatever they say."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def canary() -> AsyncIterator[Canary]:
    bird = Canary()

    async def sing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bird.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + b'[{"id": "stolen"}]')
        writer.close()

    server = await asyncio.start_server(sing, "127.0.0.1", 0)
    bird.port = server.sockets[0].getsockname()[1]
    servers = [server]
    with contextlib.suppress(OSError):  # a machine without IPv6
        servers.append(await asyncio.start_server(sing, "::1", bird.port))
    try:
        yield bird
    finally:
        for one in servers:
            one.close()
            await one.wait_closed()


@dataclass(slots=True)
class Names(AbstractResolver):
    """A name server of our own: for each name what it answers first, second ..., the last for ever."""

    answers: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError(f"no such name: {host}")
        turns = self.answers[host]
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None: ...


def private_names() -> Names:
    return Names(
        {
            "private.example": [["127.0.0.1"]],
            "metadata.example": [["169.254.169.254"]],
            "mixed.example": [["93.184.215.14", "127.0.0.1"]],
            "mixed6.example": [["2606:4700:4700::1111", "::1"]],
            "wrapped.example": [["64:ff9b::7f00:1"]],
            "mapped.example": [["::ffff:127.0.0.1"]],
            "six.example": [["::1"]],
            "localhost": [["127.0.0.1"]],
            "xn--bcher-kva.example": [["127.0.0.1"]],
            "0xA9FEA9FE".lower(): [["169.254.169.254"]],
            "0x7f.1": [["127.0.0.1"]],
        }
    )


HOSTS = [
    *(
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0",
        "0.0.0.1",
        "localhost",
    ),
    *("LOCALHOST", "localhost.", "127.0.0.1.", "2130706433", "0x7f000001", "0x7F.1", "0x7f.0.0.1"),
    *("017700000001", "0177.0.0.1", "0177.0.0.01", "00000177.0.0.1", "127.0.0.0x1", "10.0.0.1", "10.1"),
    *("100.64.0.1", "169.254.169.254", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518"),
    *("168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.0.1", "192.168.257"),
    *("198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]"),
    *(
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
    ),
    *(
        "[2002:a9fe:a9fe::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[fd00:ec2::254]",
    ),
    *("[ff02::1]", "[fec0::1]", "[2001:db8::1]", "private.example", "metadata.example", "mixed.example"),
    *("mixed6.example", "wrapped.example", "mapped.example", "six.example", "bücher.example"),
    *("me@127.0.0.1", "me:pw@private.example", "public.example@127.0.0.1", "no-such-name.example"),
    *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1"),
]
WHOLE = [
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/x", "ftp://127.0.0.1:{port}/", "javascript:alert(1)"),
    *(
        "http://127.0.0.1:22/",
        "http://127.0.0.1:5432/",
        "http://127.0.0.1:6379/",
        "http://private.example:22/",
    ),
    *("http://127.0.0.1:{port}@public.example/", "http://public.example\\@127.0.0.1:{port}/", "http://[::1"),
    *(
        "https://127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}/",
        "unix:///run/postgres.sock",
    ),
    *(
        "data:application/json,[]",
        "//127.0.0.1:{port}/",
        "http://127.0.0.1:99999/",
    ),
]
URLS = [f"http://{host}:{{port}}/steal" for host in HOSTS] + WHOLE


def test_there_are_enough_of_them():
    assert len(URLS) >= 80


async def outcome(declaration: ApiSource, network: Network) -> SourceError:
    try:
        found = await fetch(declaration, network)
    except SourceError as error:
        return error
    raise AssertionError(f"it went well: {found}")


@pytest.mark.parametrize("batch", range(4))
async def test_no_redirect_reaches_an_address_that_was_not_declared(batch):
    """Every public host is allowed, at the very port of the canary: it is the address alone that keeps it from being reached."""
    async with canary() as bird:
        locations = [url.replace("{port}", str(bird.port)) for url in URLS[batch::4]]

        async def handler(request: web.Request) -> web.StreamResponse:
            location = locations[int(request.query["n"])]
            answer = web.Response(status=302)
            answer.headers["Location"] = location
            if request.query.get("chain") == "1":
                raise web.HTTPFound(f"/x?n={request.query['n']}")
            return answer

        async with serve(handler) as api:
            kinds: dict[str, str] = {}
            for number, location in enumerate(locations):
                for chain in "01":
                    declaration = declare(
                        f"{api.url}/x?n={number}&chain={chain}",
                        auth=AUTHS["bearer"],
                        redirect_hosts=[f"http://*:{bird.port}", "*"],
                        retry={"attempts": 1},
                    )
                    error = await outcome(declaration, Network(private_names()))
                    kinds[location] = error.code
                    assert SECRET not in str(error)
            assert len(api.requests) >= 3 * len(locations)
        assert bird.connections == 0
        assert set(kinds.values()) <= {"foreign_origin", "unexpected_content", "source_unavailable"}
        unresolved = [url for url, code in kinds.items() if code == "source_unavailable"]
        assert all("no-such-name" in url for url in unresolved), unresolved


@pytest.mark.parametrize("batch", range(4))
async def test_no_next_link_reaches_an_address_that_was_not_declared(batch):
    async with canary() as bird:
        for url in URLS[batch::4]:
            location = url.replace("{port}", str(bird.port))

            async def handler(_request: web.Request, location: str = location) -> web.StreamResponse:
                return json_answer({"items": [{"id": 1}], "next": location})

            async with serve(handler) as api:
                declaration = declare(
                    f"{api.url}/x",
                    auth=AUTHS["bearer"],
                    pagination={"type": "next_url", "path": "next"},
                    redirect_hosts=[f"http://*:{bird.port}", "*"],
                )
                error = await outcome(declaration, Network(private_names()))
                assert error.code in {"foreign_origin", "unexpected_content"}
        assert bird.connections == 0


async def test_a_private_host_is_reached_if_it_is_named():
    """The other half of the tests above: the canary can be reached by these very ways."""
    async with canary() as bird:
        for host, name in [
            ("127.0.0.1", "127.0.0.1"),
            ("private.example", "private.example"),
            ("[::ffff:7f00:1]", "[::ffff:7f00:1]"),
        ]:
            before = bird.connections
            async with serve(redirecting_to(f"http://{host}:{bird.port}/")) as api:
                declaration = declare(
                    f"{api.url}/x", redirect_hosts=[f"http://{name}:{bird.port}", "*"], retry={"attempts": 1}
                )
                with contextlib.suppress(SourceError):
                    await fetch(declaration, Network(private_names()))
            assert bird.connections == before + 1, host


def only(address: str) -> Any:
    """A network in which *address*, of loopback, is the only public one."""
    return lambda found: found == address


@contextlib.asynccontextmanager
async def serve_at(host: str) -> AsyncIterator[Api]:
    api = Api("")

    async def handler(request: web.Request) -> web.StreamResponse:
        api.requests.append(request)
        return json_answer([{"id": "public"}], headers={"Connection": "close"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        api.url = f"http://cdn.example:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()


async def test_a_name_that_is_rebound_leads_nowhere_else():
    """The name is looked up once for a connection, and what was checked is connected to."""
    async with serve_at("127.0.0.2") as public:
        port = public.url.rpartition(":")[2]
        stolen: list[str] = []

        async def steal(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stolen.append("a connection")
            writer.close()

        server = await asyncio.start_server(steal, "127.0.0.1", int(port))
        try:
            async with serve(redirecting_to(f"{public.url}/x")) as api:
                declaration = declare(f"{api.url}/x", redirect_hosts=[f"http://*.example:{port}"])
                turns = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]]
                names = Names({"cdn.example": turns * 25})
                came, refusals = [], list[str]()
                for _ in range(100):
                    try:
                        came += ids(await fetch(declaration, Network(names, only("127.0.0.2"))))
                    except ForeignOrigin as error:
                        refusals.append(str(error))
        finally:
            server.close()
            await server.wait_closed()
        assert came == ["public"] * 25
        assert all("cdn.example (127.0.0.1), which is not a public address" in text for text in refusals)
        assert len(public.requests) == 25
        assert len(names.asked) == 100
    assert stolen == []


async def test_the_last_check_is_of_the_very_address_that_is_connected_to():
    """Were the name server to be trusted for what it is not, the socket itself is refused."""
    async with canary() as bird:
        network = Network(is_public=only("127.0.0.2"))
        info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", bird.port))
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            network.public_socket(info)
        network.public_socket((*info[:4], ("127.0.0.2", bird.port))).close()
        assert bird.connections == 0
