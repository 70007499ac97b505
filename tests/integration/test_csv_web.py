"""CSV files on the web, read from a real server on loopback: in ranges, as a stream, cut, replaced, redirected, refused."""

from __future__ import annotations

import bz2
import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from file_server import ServedFile, serve_file
from kasparro.core.errors import (
    AuthenticationFailed,
    FileTooLarge,
    ForeignOrigin,
    PermanentSourceError,
    SourceChanged,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.services.preview import first_page

CONTENT = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n * 7919 % 10007) for n in range(400_000))
packed = partial(gzip.compress, compresslevel=1)
RETRY = {"attempts": 3, "base": "1ms", "max": "1ms"}


def source(url: str, **declared: Any) -> CsvSource:
    return CsvSource(name="s", path=url, **{"retry": RETRY, **declared})


@contextmanager
def opened(url: str, **declared: Any) -> Iterator[SourceFile]:
    (location,) = find(source(url, **declared))
    file = open_file(location)
    try:
        yield file
    finally:
        file.close()


def rest(file: SourceFile) -> bytes:
    return b"".join(iter(lambda: file.read(300_000), b""))


def read(url: str, **declared: Any) -> bytes:
    with opened(url, **declared) as file:
        return rest(file)


@pytest.fixture
def served() -> ServedFile:
    return ServedFile(CONTENT)


@pytest.fixture
def url(served: ServedFile) -> Iterator[str]:
    with serve_file(served) as base:
        yield f"{base}/a.csv"


def test_a_file_is_read_in_ranges_of_one_version(served, url):
    with opened(url) as file:
        assert file.size == len(CONTENT)
        assert rest(file) == CONTENT
        file.seek(5_000_000)
        assert file.read(100) == CONTENT[5_000_000:5_000_100]
        file.check_unchanged()
    assert served.asked_ranges[:2] == ["bytes=0-1048575", f"bytes=1048576-{3 * 1024 * 1024 - 1}"]


def test_the_fingerprint_is_that_of_the_version(served, url):
    with opened(url) as first, opened(url) as again:
        assert first.fingerprint == again.fingerprint
        assert first.fingerprint["etag"] == '"one"'
    served.etag = '"two"'
    with opened(url) as other:
        assert other.fingerprint != first.fingerprint


def test_a_server_without_ranges_is_read_as_one_stream(served, url):
    served.ranges = False
    with opened(url) as file:
        head = file.read(1_000_000)
        file.seek(0)
        assert file.read(1_000_000) == head
        assert rest(file) == CONTENT[1_000_000:]
        assert len(served.requests) == 1
        file.seek(4_500_000)
        assert rest(file) == CONTENT[4_500_000:]
    assert len(served.requests) == 2


def test_a_file_in_chunks_has_no_size_and_comes_whole(served, url):
    served.ranges, served.framing = False, "chunks"
    with opened(url) as file:
        assert file.size is None
        assert rest(file) == CONTENT


def test_ranges_of_a_file_without_a_version_are_not_put_together(served, url):
    served.etag = None
    with opened(url) as file:
        assert rest(file) == CONTENT
        first = file.fingerprint
    assert served.asked_ranges == ["bytes=0-1048575", None]
    with opened(url) as file:
        assert file.fingerprint != first


def test_last_modified_tells_versions_apart_where_there_is_no_etag(served, url):
    served.etag = None
    served.headers = {"Last-Modified": "Wed, 25 Nov 2026 20:00:00 GMT"}
    with opened(url) as file:
        file.read(10)
        served.headers = {"Last-Modified": "Wed, 25 Nov 2026 20:00:01 GMT"}
        with pytest.raises(SourceChanged, match="replaced"):
            rest(file)


@pytest.mark.parametrize("etag", ['"two"', None])
def test_a_file_that_is_replaced_between_two_ranges_ends_in_source_changed(served, url, etag):
    with opened(url) as file:
        file.read(10)
        served.content, served.etag = CONTENT.upper(), etag
        with pytest.raises(SourceChanged, match="replaced"):
            rest(file)


def test_a_file_that_is_replaced_before_the_stream_begins_again_ends_in_source_changed(served, url):
    served.ranges = False
    served.cuts = [2_000_000]
    with opened(url) as file:
        file.read(10)
        served.etag = '"two"'
        with pytest.raises(SourceChanged, match="replaced"):
            rest(file)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_breaks_off_is_fetched_again(served, url, ranges, framing):
    served.ranges, served.framing = ranges, framing
    served.cuts = [500_000, 1_500_000]
    assert read(url) == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_body_that_breaks_off_again_and_again_is_never_taken_for_the_whole(served, url, ranges):
    served.ranges = ranges
    served.cuts = [900_000] * 20
    with pytest.raises(TruncatedContent):
        read(url)


def test_a_broken_stream_without_a_version_is_not_continued(served, url):
    served.ranges, served.etag, served.cuts = False, None, [2_000_000]
    with pytest.raises(TruncatedContent):
        read(url)


def test_a_body_without_an_announced_end_is_refused(served, url):
    served.ranges, served.framing = False, "close"
    with pytest.raises(UnexpectedContent, match="does not say where the file ends"):
        read(url)


@pytest.mark.parametrize(("status", "error"), [(404, PermanentSourceError), (403, AuthenticationFailed)])
def test_a_refusal_is_told_with_what_the_server_says(served, url, status, error):
    served.statuses = [status]
    with pytest.raises(error, match=f"answered {status}.*said by the server"):
        read(url)
    assert len(served.requests) == 1


def test_a_passing_failure_is_tried_again_as_declared(served, url):
    served.statuses = [503, 429]
    assert read(url) == CONTENT
    served.statuses = [503] * 3
    with pytest.raises(TransientSourceError, match="answered 503"):
        read(url)


def test_an_unreachable_server_is_a_transient_error():
    with pytest.raises(TransientSourceError, match="cannot be reached"):
        read("http://127.0.0.1:9/a.csv")


def test_redirects_are_followed_within_the_origin_and_nowhere_else(served, url):
    served.redirects = {"/a.csv": "/b.csv", "/out.csv": "http://example.org/a.csv"}
    assert read(url) == CONTENT
    with pytest.raises(ForeignOrigin, match="nothing was sent there"):
        read(url.replace("/a.csv", "/out.csv"))
    served.redirects = {"/a.csv": "/a.csv"}
    with pytest.raises(PermanentSourceError, match="redirects more than"):
        read(url)


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"type": "bearer", "token": "the-token"}, ("Authorization", "Bearer the-token")),
        (
            {"type": "basic", "username": "u", "password": "the-token"},
            ("Authorization", "Basic dTp0aGUtdG9rZW4="),
        ),
        ({"type": "api_key", "name": "X-Key", "value": "the-token"}, ("X-Key", "the-token")),
    ],
)
def test_credentials_are_sent_and_never_shown(served, url, auth, sent):
    declared = source(url, auth=auth, headers={"x-tenant": "acme"})
    (location,) = find(declared)
    assert "the-token" not in repr(location)
    open_file(location).close()
    headers = served.requests[0][1]
    assert (headers[sent[0]], headers["X-Tenant"]) == (sent[1], "acme")
    served.statuses = [401]
    with pytest.raises(AuthenticationFailed) as raised:
        open_file(location)
    assert "the-token" not in str(raised.value)


def test_a_key_in_the_address_is_sent_and_not_shown(served, url):
    auth = {"type": "api_key", "in": "query", "name": "k", "value": "the-token"}
    (location,) = find(source(f"{url}?sig=0123&page=1", auth=auth))
    assert location.name == f"{url}?sig=***&page=1"
    open_file(location).close()
    assert served.requests[0][0] == "/a.csv?sig=0123&page=1&k=the-token"


@pytest.mark.parametrize(
    ("name", "pack", "ranges"),
    [
        ("a.csv.gz", packed, True),
        ("a.csv.gz?x=1", packed, False),
        ("download", packed, False),
        ("a.bz2", bz2.compress, True),
    ],
)
def test_a_compressed_file_is_unpacked(served, url, name, pack, ranges):
    served.content, served.ranges = pack(CONTENT), ranges
    with opened(url.replace("a.csv", name)) as file:
        assert file.size is None
        assert rest(file) == CONTENT
        file.seek(30)
        assert file.read(5) == CONTENT[30:35]


def test_a_gzip_encoding_is_unpacked_and_any_other_refused(served, url):
    served.content, served.headers = packed(CONTENT), {"Content-Encoding": "gzip"}
    assert read(url) == CONTENT
    served.headers = {"Content-Encoding": "br"}
    with pytest.raises(UnexpectedContent, match="encoded as 'br'"):
        read(url)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_member_of_an_archive_is_read(served, url, ranges):
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/x.csv", CONTENT)
        archive.writestr("y.csv", b"id\n1\n")
    served.content, served.ranges = zipped.getvalue(), ranges
    address = url.replace("a.csv", "a.zip")
    assert [one.name for one in find(source(f"{address}!**/*.csv"))] == [
        f"{address}!b/x.csv",
        f"{address}!y.csv",
    ]
    assert read(f"{address}!b/x.csv") == CONTENT


def test_an_archive_without_an_announced_size_is_refused(served, url):
    served.content, served.ranges, served.framing = b"PK\x03\x04" + bytes(100), False, "chunks"
    with pytest.raises(UnexpectedContent, match="read from its end"):
        read(url)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_empty_file_is_empty(served, url, ranges):
    served.content, served.ranges = b"", ranges
    assert read(url) == b""


@pytest.mark.parametrize("ranges", [True, False])
def test_a_bomb_is_refused_within_bounded_memory(served, url, ranges):
    served.content, served.ranges = gzip.compress(bytes(100 * 1024 * 1024)), ranges
    tracemalloc.start()
    try:
        with pytest.raises(FileTooLarge, match="800 times"):
            read(url)
        assert tracemalloc.get_traced_memory()[1] < 24 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_file_beyond_max_size_is_refused_before_it_is_read(served, url):
    with pytest.raises(FileTooLarge, match="1,000 bytes"):
        read(url, max_size=1000)
    served.ranges, served.framing = False, "chunks"
    with pytest.raises(FileTooLarge):
        read(url, max_size=2_000_000)


@pytest.mark.anyio
async def test_the_first_page_can_be_looked_at(url):
    page = await first_page(source(url), 100)
    assert (page.records, page.more) == (100, True)
    assert page.previews[0].raw == b'{"id":"0","name":"name 0"}'
