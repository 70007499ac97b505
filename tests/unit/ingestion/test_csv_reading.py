"""Whole files: what a writer wrote comes back, cell for cell and byte for byte, wherever reading is interrupted."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.turns import CsvReading
from kasparro.schemas.ingest import FileOrigin, Page, RawRecord, RejectReason

HEADER = ("id", "name", "note")
CELL = st.text(
    st.one_of(
        st.sampled_from("ab,;|\t\"'\\\n\r 0é€"), st.characters(codec="utf-8", exclude_characters="\ufeff")
    ),
    max_size=8,
)
WESTERN = st.text(st.sampled_from("ab,;|\t\"'\\\n\r 0éÿ"), max_size=8)
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "latin-1",
    "cp037",
    "iso2022_jp_2",
    "gb18030",
]
CHARSET = {"cp1252", "latin-1", "cp037", "iso2022_jp_2"}


@dataclass(frozen=True)
class Written:
    """A table, the bytes that a csv.writer made of it, and the declaration that says how."""

    rows: list[tuple[str, ...]]
    content: bytes
    declared: dict[str, Any]


@st.composite
def tables(draw: st.DrawFn) -> Written:
    encoding = draw(st.sampled_from(ENCODINGS))
    cell = WESTERN if encoding in CHARSET else CELL
    rows = draw(st.lists(st.tuples(*[cell] * len(HEADER)), max_size=12))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    quotechar, escapechar = draw(st.sampled_from([('"', None), ("'", None), ('"', "^")]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    line_ends = any(
        "\r" in cell or "\n" in cell for row in rows for cell in row
    )  # the writer forgets to quote some
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quotechar=quotechar,
        escapechar=escapechar,
        doublequote=escapechar is None,
        lineterminator=end,
        quoting=csv.QUOTE_MINIMAL if draw(st.booleans()) and not line_ends else csv.QUOTE_ALL,
    )
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow(row)
        if draw(st.integers(0, 9)) == 0:
            text.write(end)  # a blank line
    content = text.getvalue()
    if draw(st.booleans()):
        content = content.removesuffix(end)
    declared = {
        "delimiter": delimiter,
        "quotechar": quotechar,
        "escapechar": escapechar,
        "encoding": encoding,
    }
    return Written(rows, content.encode(encoding), declared)


def read(path: Path, page_size: int = 1000, after: Any = None, **declared: Any) -> list[Page]:
    reading = CsvReading(CsvSource(name="table", path=str(path), **declared), page_size, after)
    pages = []
    try:
        while True:
            pages.append(reading.next_page())
            if pages[-1].last:
                return pages
    finally:
        reading.close()


def records(pages: list[Page]) -> list[RawRecord]:
    return [record for page in pages for record in page.records]


def cells(record: RawRecord) -> tuple[str, ...]:
    return tuple(json.loads(record.payload).values())


def origin(record: Any) -> FileOrigin:
    assert isinstance(record.origin, FileOrigin)
    return record.origin


def alone(content: bytes, record: RawRecord, declared: dict[str, Any]) -> list[list[str]]:
    """Parse the bytes of one record and nothing else."""
    codec = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(
        declared["encoding"], declared["encoding"]
    )
    text = content[origin(record).byte_start : origin(record).byte_end].decode(codec)
    names = ("delimiter", "quotechar", "escapechar")
    return list(csv.reader(io.StringIO(text, newline=""), **{name: declared[name] for name in names}))


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    with capture_logs():
        yield


SLOW = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(tables(), st.integers(1, 7))
def test_every_table_comes_back_with_exact_byte_ranges(folder: Path, table: Written, page_size: int) -> None:
    path = folder / "table.csv"
    path.write_bytes(table.content)
    pages = read(path, page_size, **table.declared)
    assert not any(page.rejects for page in pages)
    found = records(pages)
    assert list(map(cells, found)) == table.rows
    assert [alone(table.content, record, table.declared) for record in found] == [
        [list(row)] for row in table.rows
    ]
    assert sum(page.size for page in pages) == len(table.content)
    assert [len(page.records) for page in pages[:-1]] == [page_size] * (len(pages) - 1)
    assert all(page.cursor for page in pages[:-1])


@SLOW
@given(tables(), st.integers(1, 4))
def test_resuming_after_any_page_gives_exactly_the_rest(folder: Path, table: Written, page_size: int) -> None:
    path = folder / "table.csv"
    path.write_bytes(table.content)
    pages = read(path, page_size, **table.declared)
    for number, page in enumerate(pages[:-1], 1):
        cursor = json.loads(json.dumps(page.cursor))
        assert records(read(path, page_size, cursor, **table.declared)) == records(pages[number:])


@SLOW
@given(
    st.lists(
        st.sampled_from(
            [b"1,2\n", b'"', b"\n", b"\r", b",", b"a", b'a","', b'""', b'"x\ny",2\n', b"\xff", b"1,2,3\r\n"]
        ),
        max_size=40,
    ),
    st.sampled_from([{}, {"quotechar": None}, {"escapechar": "a"}]),
)
def test_whatever_the_bytes_every_one_is_in_one_record_one_reject_or_a_blank_line(
    folder: Path, pieces: list[bytes], declared: dict[str, Any]
) -> None:
    content = b"id,name\n" + b"".join(pieces)
    path = folder / "any.csv"
    path.write_bytes(content)
    pages = read(path, 3, encoding="utf-8", delimiter=",", **declared)
    spans = sorted(
        (origin(item).byte_start, origin(item).byte_end, origin(item).line)
        for page in pages
        for item in (*page.records, *page.rejects)
    )
    at = len(b"id,name\n")
    for start, end, line in spans:
        assert content[at:start].strip(b"\r\n") == b""
        assert start < end
        assert line == 1 + len(content[:start].splitlines()) - (
            content[:start].endswith(b"\r") and content[start : start + 1] == b"\n"
        )
        at = end
    assert content[at:].strip(b"\r\n") == b""


def test_a_cursor_names_the_next_record_and_what_lies_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id\n1\n\n2\n3\n")
    first, *_ = read(path, 1)
    assert first.cursor is not None
    name, (_, _, places) = json.loads(json.dumps(first.cursor["current"]))
    digest = blake2b(b"id\n1\n\n", digest_size=16).hexdigest()
    assert (name, places) == (str(path), [[6, 4, 1, digest]])


@pytest.mark.parametrize(
    "other",
    [
        {"shape": 0},
        {"recipe": None},
        {"done": []},
        {"current": ["other.csv", ["", "", [[5, 3, 1, ""]]]]},
        {"current": ["", "", [[5, 3, 1, ""]]]},
        {"current": ["", "", [["5", 3, 1, ""]]]},
        {"current": ["", "", []]},
        {"current": ["", "", [[600, 3, 1, ""]]]},
    ],
)
def test_a_cursor_that_does_not_fit_starts_from_the_beginning(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id\n1\n2\n3\n")
    first, *_ = read(path, 1)
    assert first.cursor is not None
    assert len(records(read(path, 1, first.cursor))) == 2
    if len(other.get("current", ())) == 3:
        other = {"current": [str(path), other["current"]]}
    assert len(records(read(path, 1, {**first.cursor, **other}))) == 3
    assert len(records(read(path, 1, {}))) == 3


def test_another_declaration_starts_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a;b,c\n1;2,3\n4;5,6\n")
    first, *_ = read(path, 1, delimiter=";")
    assert len(records(read(path, 1, first.cursor, delimiter=","))) == 2


def test_large_records_end_a_page_before_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n" + b"".join(b"%d,%s\n" % (number, b"x" * 900_000) for number in range(30)))
    pages = read(path, 1000)
    assert [cells(record)[0] for record in records(pages)] == list(map(str, range(30)))
    assert len(pages) > 2
    assert max(page.size for page in pages) < 12 * 1024 * 1024


def test_a_large_record_is_read_whole(tmp_path: Path) -> None:
    lines = b"\n".join(b"line %d" % number for number in range(60_000))
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,"' + lines + b'"\n2,x\n')
    pages = read(path)
    assert [cells(record) for record in records(pages)] == [("1", lines.decode()), ("2", "x")]
    assert origin(records(pages)[1]).line == 60_002


def test_reject_reasons_of_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,n\n1\n2,x\n3,x,y\n4,\xff\n5,"open\n6,x\n')
    (page,) = read(path, encoding="utf-8")
    assert [cells(record)[0] for record in page.records] == ["2", "6"]
    assert [reject.reason for reject in page.rejects] == [
        RejectReason.RAGGED_ROW,
        RejectReason.RAGGED_ROW,
        RejectReason.UNDECODABLE,
        RejectReason.UNTERMINATED_QUOTE,
    ]
    assert [reject.payload for reject in page.rejects] == [b'"1"', b'"3,x,y"', rb'"4,\\xff"', rb'"5,\"open"']
    assert [origin(reject).line for reject in page.rejects] == [2, 4, 5, 6]
