"""The CSV source as the pipeline uses it: asynchronous pages from a file on disk."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kasparro.core.errors import PermanentSourceError, SourceChanged, TruncatedContent, UnexpectedContent
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.sources.csv import CsvPages
from kasparro.schemas.ingest import Cursor, Page

pytestmark = pytest.mark.anyio


def source(path: Path, page_size: int = 100, **declared: Any) -> CsvPages:
    return CsvPages(CsvSource(name="table", folder=path.parent, path=path.name, **declared), page_size)


async def pages(path: Path, page_size: int = 100, after: Cursor | None = None, **declared: Any) -> list[Page]:
    return [page async for page in source(path, page_size, **declared).pages(after)]


def payloads(found: list[Page]) -> list[dict[str, str]]:
    return [json.loads(record.payload) for page in found for record in page.records]


def numbers(path: Path, count: int) -> Path:
    path.write_bytes(b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number) for number in range(count)))
    return path


def open_files(path: Path) -> list[str]:
    links = Path("/proc/self/fd").iterdir()
    return [link.name for link in links if link.is_symlink() and link.readlink() == path]


async def test_a_file_comes_in_pages_with_places_and_sizes(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 250)
    found = await pages(path)
    assert [len(page.records) for page in found] == [100, 100, 50]
    assert [page.last for page in found] == [False, False, True]
    assert sum(page.size for page in found) == path.stat().st_size
    assert {page.total_size for page in found} == {path.stat().st_size}
    record = found[1].records[0]
    assert str(record.origin) == "a.csv:102 (bytes 1088-1101)"
    assert path.read_bytes()[1088:1101] == b"100,name 100\n"


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"id,name\n", b"id,name", b"\xef\xbb\xbfid,name\n\n", b"\xff\xfe"]
)
@pytest.mark.parametrize("declared", [{}, {"header": ["id", "name"], "skip_rows": 1}, {"skip_rows": 5}])
async def test_a_file_without_records_gives_one_last_page(
    tmp_path: Path, content: bytes, declared: dict[str, Any]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    (page,) = await pages(path, **declared)
    assert (page.records, page.rejects, page.last) == ([], [], True)
    (again,) = await pages(path, after=page.cursor, **declared)
    assert (list(again.records), again.unchanged, again.cursor) == ([], 0, page.cursor)


async def test_reading_resumes_after_the_committed_page(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 250)
    whole = await pages(path)
    assert await pages(path, after=whole[0].cursor) == whole[1:]
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    whole = await pages(packed)
    assert await pages(packed, after=whole[1].cursor) == whole[2:]
    assert {page.total_size for page in whole} == {None}


async def test_another_file_under_the_same_name_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 250)
    first, *_ = await pages(path)
    numbers(path, 251)
    assert len(payloads(await pages(path, after=first.cursor))) == 151  # the first hundred are the same
    path.write_bytes(path.read_bytes().replace(b"name 7\n", b"name X\n"))
    assert len(payloads(await pages(path, after=first.cursor))) == 251
    numbers(path, 120)
    path.write_bytes(path.read_bytes().replace(b"name 7\n", b"name X\n"))
    assert len(payloads(await pages(path, after=first.cursor))) == 120


@pytest.mark.parametrize("change", ["append", "truncate", "replace", "remove"])
async def test_a_change_while_reading_ends_the_reading(tmp_path: Path, change: str) -> None:
    path = numbers(tmp_path / "a.csv", 250)
    reading = source(path).pages(None)
    assert len((await anext(reading)).records) == 100
    match change:
        case "append":
            with path.open("ab") as file:
                file.write(b"1,2\n")
        case "truncate":
            os.truncate(path, 2000)
        case "replace":
            shutil.copy(path, tmp_path / "b.csv")
            (tmp_path / "b.csv").rename(path)
        case "remove":
            path.unlink()
    with pytest.raises(SourceChanged):
        await anext(reading)
    await reading.aclose()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed there")
async def test_closing_early_leaves_no_file_open(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 250)
    reading = source(path).pages(None)
    await anext(reading)
    assert open_files(path)
    await reading.aclose()
    assert not open_files(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed there")
async def test_a_cancelled_reader_leaves_no_file_open(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 20_000)
    started = asyncio.Event()

    async def read() -> None:
        async for _ in source(path, 10_000).pages(None):
            started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not open_files(path)
    task = asyncio.create_task(read())
    await asyncio.sleep(0)  # the thread may be opening the file at this moment
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not open_files(path)


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,name\n" + b"".join(b"%d,%s\n" % (number, b"x" * 1000) for number in range(20_000)))
    tracemalloc.start()
    try:
        async for _ in source(path, 500).pages(None):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 3


@pytest.mark.parametrize(
    ("declared", "content", "expected"),
    [
        ({}, "id;name\n007; a \n", [{"id": "007", "name": " a "}]),
        ({}, "id\tname\n1\tx, y\n", [{"id": "1", "name": "x, y"}]),
        ({"delimiter": "|"}, "id|name\n1|a;b\n", [{"id": "1", "name": "a;b"}]),
        ({"quotechar": "'"}, "id,name\n1,'a,b'\n", [{"id": "1", "name": "a,b"}]),
        ({"quotechar": None}, 'id,name\n1,"a\n', [{"id": "1", "name": '"a'}]),
        (
            {"escapechar": "\\"},
            'id,name\n1,"a\\"b"\n2,c\\,d\n',
            [{"id": "1", "name": 'a"b'}, {"id": "2", "name": "c,d"}],
        ),
        ({"encoding": "cp1252"}, "id,name\n1,café\n", [{"id": "1", "name": "cafÃ©"}]),
        (
            {"header": False},
            "1,a\n2,b\n",
            [{"column_1": "1", "column_2": "a"}, {"column_1": "2", "column_2": "b"}],
        ),
        ({"header": ["x", "y"]}, "1,a\n", [{"x": "1", "y": "a"}]),
        ({"skip_rows": 2}, "Report\n\nid,name\n1,a\n", [{"id": "1", "name": "a"}]),
        ({}, "\nid,name,name,\n1,a,b,c\n", [{"id": "1", "name": "a", "name_2": "b", "column_4": "c"}]),
        (
            {"null_values": ["", "NA"]},
            "id,name\n1,NA\n2,\n",
            [{"id": "1", "name": "NA"}, {"id": "2", "name": ""}],
        ),
        ({}, "id,name\n1,a\0b\n", [{"id": "1", "name": "a\0b"}]),
        (
            {},
            'id,name\n1,"a\r\nb"\r2,c\r\n3,d',
            [{"id": "1", "name": "a\r\nb"}, {"id": "2", "name": "c"}, {"id": "3", "name": "d"}],
        ),
    ],
)
async def test_files_are_read_as_declared(
    tmp_path: Path, declared: dict[str, Any], content: str, expected: list[dict[str, str]]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    found = await pages(path, **declared)
    assert payloads(found) == expected
    assert not any(page.rejects for page in found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
async def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,name\n1,Müller aus Köln\n".encode(encoding))
    assert payloads(await pages(path)) == [{"id": "1", "name": "Müller aus Köln"}]


async def test_what_was_found_out_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id;name\n1;Müller aus Köln\n".encode("cp1252"))
    with capture_logs() as logs:
        await pages(path)
    (event,) = [entry for entry in logs if entry["event"] == "csv.opened"]
    assert (event["encoding"], event["encoding_from"], event["delimiter"]) == ("cp1252", "guess", ";")


async def test_an_encoding_that_is_a_guess_is_told_once_for_each_file(tmp_path: Path) -> None:
    for name, encoding in (("a", "cp1252"), ("b", "utf-8"), ("c", "cp1252")):
        rows = "".join(f"{name}{number},Müller aus Köln\n" for number in range(150))
        (tmp_path / f"{name}.csv").write_bytes(f"id,name\n{rows}".encode(encoding))
    found = await pages(tmp_path / "*.csv")
    told = [(notice.code, notice.details["file"][-5:]) for page in found for notice in page.notices]
    assert told == [("encoding_guessed", "a.csv"), ("encoding_guessed", "c.csv")]
    declared = await pages(tmp_path / "[ac].csv", encoding="cp1252")
    assert not any(page.notices for page in declared)


async def test_bytes_that_turn_up_beyond_the_sample_are_rejects(tmp_path: Path) -> None:
    path = numbers(tmp_path / "a.csv", 100_000)
    with path.open("ab") as file:
        file.write(b"x,caf\xe9\ny,tea\n")
    found = await pages(path, 1000)
    assert payloads(found)[-1] == {"id": "y", "name": "tea"}
    (reject,) = [reject for page in found for reject in page.rejects]
    assert (reject.reason, reject.payload) == ("undecodable", rb'"x,caf\\xe9"')


async def test_a_record_beyond_the_limit_costs_its_first_line_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    filler = b"".join(b"%d,%s\n" % (number, b"x" * 1000) for number in range(17_000))
    path.write_bytes(b'id,name\nbad,"open\n' + filler)
    found = [page async for page in source(path, 5000).pages(None)]
    assert sum(len(page.records) for page in found) == 17_000
    (reject,) = [reject for page in found for reject in page.rejects]
    assert reject.message == "line 2: a quote is opened here and not closed within 16 MiB"


async def test_a_line_longer_than_any_record_is_one_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,name\n1,a\n2," + b"x" * 17 * 1024 * 1024 + b"\n3,b\n")
    found = await pages(path)
    assert [row["id"] for row in payloads(found)] == ["1", "3"]
    (reject,) = [reject for page in found for reject in page.rejects]
    assert reject.reason == "field_too_large"
    assert found[-1].records[-1].origin.line == 4


@pytest.mark.parametrize(
    ("content", "declared", "error", "message"),
    [
        (None, {}, PermanentSourceError, "no such file"),
        (b"id,\xff\n1,2\n", {"encoding": "utf-8"}, UnexpectedContent, "header cannot be read: byte 3"),
        (b'id,"name\n1,2\n', {}, UnexpectedContent, "header cannot be read: a quote is opened"),
        (b"a+2AA-,b\n1,2\n", {"encoding": "utf-7"}, UnexpectedContent, "header cannot be read: utf-7 gives"),
        (bytes(range(256)) * 8, {}, UnexpectedContent, "encoding cannot be told"),
        (gzip.compress(b"id\n1\n", mtime=0)[:-3], {}, TruncatedContent, "ends too early"),
    ],
)
async def test_what_cannot_be_read_says_why(
    tmp_path: Path,
    content: bytes | None,
    declared: dict[str, Any],
    error: Callable[..., Exception],
    message: str,
) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as raised:  # type: ignore[call-overload]
        await pages(path, **declared)
    assert path.name in str(raised.value)
