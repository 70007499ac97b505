"""CSV files in an object store, read from a server that speaks S3: found by pattern, in ranges of one version."""

from __future__ import annotations

import gzip
import http.server
import io
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceChanged,
    TransientSourceError,
)
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.csv.turns import CsvReading
from kasparro.schemas.ingest import Cursor, Page
from kasparro.services.preview import first_page

CONTENT = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n * 7919 % 10007) for n in range(400_000))
SECRET = "the-secret-of-the-test"
KEYS = {"access_key_id": "the-id-of-the-test", "secret_access_key": SECRET}
RETRY = {"attempts": 3, "base": "1ms", "max": "1ms"}
FEW = b"id\n1\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    """A bucket of this test's own."""
    name = f"bucket-{abs(hash(request.node.name)):x}"
    made = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
    urllib.request.urlopen(made).close()
    return name


@pytest.fixture
def put(endpoint: str, bucket: str) -> Any:
    store = S3Store(
        bucket,
        config={"endpoint": endpoint, "region": "us-east-1", "skip_signature": True},
        client_options={"allow_http": True},
    )
    return lambda key, content: obstore.put(store, key, content)


@pytest.fixture
def declared(endpoint: str, bucket: str) -> Any:
    def source(key: str, **storage: Any) -> CsvSource:
        store = storage or {"endpoint": endpoint, "region": "us-east-1", **KEYS}
        return CsvSource(name="s", path=f"s3://{bucket}/{key}", storage=store, retry=RETRY)

    return source


@contextmanager
def opened(source: CsvSource) -> Iterator[SourceFile]:
    (location,) = find(source)
    file = open_file(location)
    try:
        yield file
    finally:
        file.close()


def rest(file: SourceFile) -> bytes:
    return b"".join(iter(lambda: file.read(300_000), b""))


def test_an_object_is_read_whole_and_from_any_place(put, declared):
    put("a/x.csv", CONTENT)
    with opened(declared("a/x.csv")) as file:
        assert file.size == len(CONTENT)
        assert file.fingerprint.keys() == {"size", "etag", "last_modified", "head_sha256"}
        assert rest(file) == CONTENT
        file.seek(5_000_000)
        assert file.read(100) == CONTENT[5_000_000:5_000_100]
        file.check_unchanged()


def test_a_compressed_object_and_a_member_of_an_archive_are_unpacked(put, declared):
    put("x.csv.gz", gzip.compress(CONTENT, compresslevel=1))
    with opened(declared("x.csv.gz")) as file:
        assert rest(file) == CONTENT
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("in/y.csv", CONTENT)
    put("z.zip", zipped.getvalue())
    with opened(declared("z.zip!in/*.csv")) as file:
        assert rest(file) == CONTENT


def test_a_pattern_finds_keys_below_its_beginning_in_order(put, declared, bucket):
    for key in ("b/2.csv", "b/1.csv", "b/c/3.csv", "b/c/note.txt", "b/.hidden.csv", "bb/4.csv", "5.csv"):
        put(key, FEW)
    named = {
        "b/*.csv": ["b/1.csv", "b/2.csv"],
        "b/**/*.csv": ["b/1.csv", "b/2.csv", "b/c/3.csv"],
        "b*/[0-9].csv": ["b/1.csv", "b/2.csv", "bb/4.csv"],
        "**": ["5.csv", "b/1.csv", "b/2.csv", "b/c/3.csv", "b/c/note.txt", "bb/4.csv"],
    }
    for pattern, keys in named.items():
        assert [one.name for one in find(declared(pattern))] == [f"s3://{bucket}/{key}" for key in keys]
    with pytest.raises(PermanentSourceError, match="no file matches the pattern"):
        find(declared("b/*.parquet"))


def test_objects_that_have_not_changed_are_left_alone_and_a_new_one_is_read(put, declared):
    put("in/a.csv", b"id\n1\n2\n")
    put("in/b.csv", b"id\n3\n")
    first = read(declared("in/*.csv"), None)
    assert [str(record.origin).split(":")[-1] for page in first for record in page.records] == [
        "2 (bytes 3-5)",
        "3 (bytes 5-7)",
        "2 (bytes 3-5)",
    ]
    again = read(declared("in/*.csv"), first[-1].cursor)
    assert [len(page.records) for page in again] == [0]
    assert sum(page.unchanged for page in again) == 3
    put("in/c.csv", b"id\n4\n")
    grown = read(declared("in/*.csv"), first[-1].cursor)
    assert [record.payload for page in grown for record in page.records] == [b'{"id":"4"}']
    assert sum(page.unchanged for page in grown) == 3


def read(source: CsvSource, after: Cursor | None) -> list[Page]:
    with closing(CsvReading(source, 100, after)) as reading:
        pages = [reading.next_page()]
        while not pages[-1].last:
            pages.append(reading.next_page())
    return pages


@pytest.mark.parametrize("key", ["with blank.csv", "a#b%20c+d.csv", "grün/ü.csv", "a/b'c\"d.csv"])
def test_a_key_is_what_is_written(put, declared, key):
    put(key, FEW)
    with opened(declared(key)) as file:
        assert rest(file) == FEW


def test_an_empty_object_is_empty(put, declared):
    put("x.csv", b"")
    with opened(declared("x.csv")) as file:
        assert (file.size, rest(file)) == (0, b"")


def test_an_object_that_is_replaced_between_two_ranges_ends_in_source_changed(put, declared):
    put("x.csv", CONTENT)
    with opened(declared("x.csv")) as file:
        assert file.read(10) == CONTENT[:10]
        put("x.csv", CONTENT.upper())
        with pytest.raises(SourceChanged, match="replaced"):
            rest(file)
    with opened(declared("x.csv")) as file:
        assert rest(file) == CONTENT.upper()


def test_what_is_not_there_is_named(put, declared, endpoint):
    with pytest.raises(PermanentSourceError, match="no such object"):
        open_file(find(declared("none.csv"))[0])
    other = CsvSource(name="s", path="s3://no-such-bucket/*.csv", storage={"endpoint": endpoint, **KEYS})
    with pytest.raises(PermanentSourceError, match="no such bucket"):
        find(other)


def test_secrets_are_shown_nowhere(put, declared):
    put("x.csv", FEW)
    source = declared("x.csv")
    (location,) = find(source)
    assert SECRET not in repr(location) + repr(source) + str(source.model_dump())


def test_an_http_endpoint_is_used_only_where_it_is_declared(declared, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(PermanentSourceError, match="used only where it is declared"):
        open_file(find(declared("x.csv", anonymous=True))[0])


def test_missing_credentials_are_told(declared, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AuthenticationFailed, match="no credentials were found") as raised:
        open_file(find(declared("x.csv", region="us-east-1"))[0])
    assert "AWS_ACCESS_KEY_ID" in str(raised.value)


def test_credentials_of_the_environment_are_used_and_not_mixed_into_declared_ones(declared, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id-from-outside")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-from-outside")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-from-outside")
    with store_server(b"", []) as (address, requests):
        for keys, expected in (
            ({}, ("id-from-outside", "token-from-outside")),
            (KEYS, (KEYS["access_key_id"], None)),
        ):
            source = declared("x.csv", endpoint=address, **keys)
            open_file(find(source)[0]).close()
            sent = requests[-1]
            assert expected[0] in sent["authorization"]
            assert sent.get("x-amz-security-token") == expected[1]


def test_a_store_that_cannot_be_reached_is_a_transient_error(declared):
    source = declared("x.csv", endpoint="http://127.0.0.1:9", anonymous=True)
    with pytest.raises(TransientSourceError, match="did not deliver"):
        open_file(find(source)[0])


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, AuthenticationFailed), (400, PermanentSourceError), (503, TransientSourceError)],
)
def test_a_refusal_of_the_store_is_translated(declared, status, error):
    with store_server(FEW, [status] * 3) as (address, _):
        with pytest.raises(error) as raised:
            open_file(find(declared("x.csv", endpoint=address, anonymous=True))[0])
        assert type(raised.value) is error


def test_bodies_that_break_off_and_passing_refusals_are_asked_for_again(declared):
    with (
        store_server(CONTENT, [503], cuts=[100_000, 600_000]) as (address, _),
        opened(declared("x.csv", endpoint=address, anonymous=True)) as file,
    ):
        assert rest(file) == CONTENT


def test_a_store_that_does_not_know_if_match_is_seen_through(declared):
    with (
        store_server(CONTENT, [], etags=['"one"', '"one"', '"two"']) as (address, _),
        opened(declared("x.csv", endpoint=address, anonymous=True)) as file,
        pytest.raises(SourceChanged, match="replaced"),
    ):
        rest(file)


@pytest.mark.anyio
async def test_the_first_page_can_be_looked_at(put, declared):
    put("x.csv", CONTENT)
    page = await first_page(declared("x.csv"), 100)
    assert (page.records, page.more) == (100, True)


@contextmanager
def store_server(
    content: bytes, statuses: list[int], cuts: list[int] | None = None, etags: list[str] | None = None
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A store with one object that refuses (*statuses*) and breaks off (*cuts*) as it is told; yields its requests, too."""
    requests: list[dict[str, str]] = []
    breaks = list(cuts or [])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(b"" if statuses else content, 200)

        def do_GET(self):
            start, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
            self.answer(content[int(start) : int(end) + 1], 206, f"bytes {start}-{end}/{len(content)}")

        def answer(self, body: bytes, status: int, span: str | None = None) -> None:
            requests.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(statuses.pop(0) if statuses else status)
            self.send_header("ETag", etags.pop(0) if etags else '"one"')
            self.send_header("Last-Modified", "Wed, 25 Nov 2026 20:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()
            if self.command == "GET":
                self.close_connection = bool(breaks)
                self.wfile.write(body[: breaks.pop(0) if breaks else None])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()
