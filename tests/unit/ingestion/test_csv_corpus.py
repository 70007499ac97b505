"""Files as they come: whole small files, what is in them to a strict reader, and that nothing of them is lost.

After csv-spectrum, RFC 4180 and what spreadsheets, databases and scripts leave behind.
"""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.careful import FIELD_LIMIT
from kasparro.ingestion.csv.turns import CsvReading
from kasparro.schemas.ingest import Page, RawRecord, Reject

MIB = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


def read(
    folder: Path, content: bytes, after: Any = None, page_size: int = 1000, **declared: Any
) -> list[Page]:
    path = folder / "f.csv"
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
    source = CsvSource(**{"name": "table", "folder": folder, "path": "f.csv", **declared})
    with closing(CsvReading(source, page_size, after)) as reading:
        pages = [reading.next_page()]
        while not pages[-1].last:
            pages.append(reading.next_page())
    return pages


def items(pages: list[Page]) -> list[RawRecord | Reject]:
    found = [item for page in pages for item in (*page.records, *page.rejects)]
    return sorted(found, key=lambda item: item.origin.byte_start)  # type: ignore[union-attr]


def known_of(item: RawRecord | Reject) -> tuple[Any, ...]:
    """All but the words: how far a quote was followed depends on where reading began."""
    return item.payload, item.origin, getattr(item, "reason", None), getattr(item, "repeat", None)


def rows(pages: list[Page]) -> list[list[str]]:
    return [list(json.loads(record.payload).values()) for page in pages for record in page.records]


def reasons(pages: list[Page]) -> list[str]:
    return [str(reject.reason) for page in pages for reject in page.rejects]


VALID = {
    "comma_in_quotes": b'first,last,address\nJohn,Doe,"120 any st., Anytown, WW"\n',
    "empty": b'a,b,c\n1,"",""\n2,3,4\n',
    "empty_crlf": b'a,b,c\r\n1,"",""\r\n2,3,4\r\n',
    "escaped_quotes": b'a,b\n1,"ha ""ha"" ha"\n3,4\n',
    "json": b'key,val\n1,"{""type"": ""Point"", ""coordinates"": [102.0, 0.5]}"\n',
    "location_coordinates": 'Phone,Location\n2813308004,"29\u00b0 45\u2032 46\u2033 N, 95\u00b0 22\u2032 59\u2033 W"\n'.encode(),
    "newlines": b'a,b,c\n1,2,3\n"Once upon \na time",5,6\n7,8,9\n',
    "newlines_crlf": b'a,b,c\r\n1,2,3\r\n"Once upon \r\na time",5,6\r\n7,8,9\r\n',
    "quotes_and_newlines": b'a,b\n1,"ha \n""ha"" \nha"\n3,4\n',
    "simple": b"a,b,c\n1,2,3\n",
    "utf8": "a,b,c\n1,2,3\n4,5,ʤ\n".encode(),
    "no end of the last line": b"a,b\n1,2",
    "a quoted cell at the very end": b'a,b\n1,"2"',
    "an empty quoted cell at the very end": b'a,b\n1,""',
    "carriage returns alone": b'a,b\r1,"2\r3"\r4,5\r',
    "line ends mixed": b"a,b\n1,2\r\n3,4\r5,6\n7,8",
    "only quotes": b'a,b\n"""",""""""\n',
    "quoted delimiters and line ends alone": b'a,b\n",","\n"\n"\r\n","\r"\n',
    "empty rows": b"a,b,c\n,,\n,,\n",
    "spaces kept": b"a,b\n 1 , 2 \n",
    "a quoted header with line ends": b'"a\nx","b, ""c"""\n1,2\n',
    "delimiter at the end of every line": b"a,b,\n1,2,\n3,4,\n",
    "names twice and none": b"a,a,,a\n1,2,3,4\n",
    "numbers that look like others": b"a,b\n007,1e5\n+1,0x1F\n1_000,NaN\n",
    "control characters": b"a,b\n\x01,\x7f\n\x0b,\x0c\n\x1c,\x1e\n",
    "line ends of Unicode are none": "a,b\n1\u2028,2\u2029\n3\x85,4\n".encode(),
    "a NUL": b"a,b\n\x00,x\x00y\n",
    "a byte order mark in the middle": "a,b\n1,2\n\ufeffa,b\n".encode(),
    "a backslash is a character": b'a,b\n"C:\\",\\n\n',
    "an apostrophe is a character": b"a,b\n'x,y'\n",
    "quotes inside of a cell": b'a,b\n5" disk,6"x"\n',
    "a cell of a MiB": b'a,b\n1,"' + b"a line, and more\n" * (FIELD_LIMIT // 17) + b'"\n2,y\n',
    "a row of many cells": b",".join(b"c%d" % n for n in range(3000))
    + b"\n"
    + b",".join([b"1"] * 3000)
    + b"\n",
    "formulas": b"a,b\n=1+1,@x\n-5,+5\n",
}


@pytest.mark.parametrize("content", VALID.values(), ids=VALID.keys())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_a_valid_file_gives_what_a_strict_reader_gives(folder: Path, content: bytes, encoding: str) -> None:
    csv.field_size_limit(4 * MIB)
    text = content.decode()
    _, *expected = csv.reader(io.StringIO(text, newline=""), strict=True)
    for declared in ({"encoding": encoding}, {"encoding": encoding, "delimiter": ","}):
        pages = read(folder, text.encode(encoding), **declared)
        assert rows(pages) == expected
        assert reasons(pages) == []


@pytest.mark.parametrize(
    ("content", "declared", "expected"),
    [
        (b"sep=;\r\na;b\r\n1,5;2\r\n", {}, [["1,5", "2"]]),
        (b'"sep=\t"\na\tb\n1\t2\n', {}, [["1", "2"]]),
        (b"\xef\xbb\xbfSEP=|\na|b\n1|2\n", {}, [["1", "2"]]),
        (b"sep=;\na,b\n1,2\n", {"delimiter": ","}, [["1", "2"]]),
        (b"sep=;\na;b\n1;2\n", {"skip_rows": 1}, [["1", "2"]]),
        ("sep=;\na;b\n1;2\n".encode("utf-16"), {}, [["1", "2"]]),
        (b"sep\n=;\n", {}, [["=;"]]),
        (b"name\n1,5\n", {"delimiter": ";"}, [["1,5"]]),
        (b"name\n\x1f\n", {}, [["\x1f"]]),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, [["1", "2"]]),
        ("a,b\n1,2\n".encode("utf-32-le"), {}, [["1", "2"]]),
        ("a,b\n1,2\n".encode("utf-32-be"), {}, [["1", "2"]]),
        (b"Preis;Menge\n1.234,50;3\n", {}, [["1.234,50", "3"]]),
        (b'id\n1\n""\n\n2\n', {}, [["1"], [""], ["2"]]),
        (b"a,b\n1,2\n\x1a", {"ragged": "pad"}, [["1", "2"], ["\x1a", ""]]),
        (b"a b\n1 2\n", {"delimiter": " "}, [["1", "2"]]),
        (b"a\x01b\n1\x012\n", {"delimiter": "\x01"}, [["1", "2"]]),
        ("a\u00a7b\n1\u00a72\n".encode(), {"delimiter": "\u00a7"}, [["1", "2"]]),
        (b"a,b\r\r\n1,2\r\r\n", {}, [["1", "2"]]),
        (b"\n \n", {"header": ["a"]}, [[" "]]),
        (b"a,b\n", {}, []),
        (b"", {}, []),
        (b"\xef\xbb\xbf", {}, []),
        (b"\r\n\r\n", {}, []),
    ],
)
def test_files_of_the_wild(
    folder: Path, content: bytes, declared: dict[str, Any], expected: list[list[str]]
) -> None:
    pages = read(folder, content, **declared)
    assert (rows(pages), reasons(pages)) == (expected, [])


@pytest.mark.parametrize(
    ("content", "declared", "expected"),
    [
        (b"# x\na,b\n1,2\n#,2\n3,4\n", {}, [["1", "2"], ["3", "4"]]),
        (b'a,b\n"x\n# y",2\n#z\n3,4#\n #,5\n', {}, [["x\n# y", "2"], ["3", "4#"], [" #", "5"]]),
        (b'a,b\n"#",2\n', {}, [["#", "2"]]),
        (b'a,b\r#\r\n1,2\r# "\r\n3,4', {}, [["1", "2"], ["3", "4"]]),
        (b"a,b\n1,2\n#", {}, [["1", "2"]]),
        (b"#\n#\n", {}, []),
        (b"a;b\n// 1,2,3\n1;2\n", {"comment": "//"}, [["1", "2"]]),
        ("# \u00e9\na,b\n1,2\n#\n".encode("utf-16"), {}, [["1", "2"]]),
        ("#\na,b\n#\n1,2\n".encode("utf-7"), {"encoding": "utf-7"}, [["1", "2"]]),
        (b"Report\n# x\n1,2\n", {"skip_rows": 1, "header": False}, [["1", "2"]]),
        (b"a,b\n1,2\n", {"comment": None}, [["1", "2"]]),
    ],
)
@pytest.mark.parametrize("page_size", [1, 1000])
def test_lines_that_begin_with_the_comment_mark_are_no_records(
    folder: Path, content: bytes, declared: dict[str, Any], expected: list[list[str]], page_size: int
) -> None:
    pages = read(folder, content, page_size=page_size, **{"comment": "#", **declared})
    assert (rows(pages), reasons(pages)) == (expected, [])


def test_a_comment_between_many_rows_costs_none_of_them_its_place(folder: Path) -> None:
    content = b"id,n\n" + b"".join(
        b"%d,x\n" % number if number % 1000 else b"# %d\n" % number for number in range(20_000)
    )
    found = items(read(folder, content, comment="#"))
    assert [content[item.origin.byte_start : item.origin.byte_end] for item in found] == [  # type: ignore[union-attr]
        b"%d,x\n" % number for number in range(20_000) if number % 1000
    ]
    assert [item.origin.line for item in found] == [number + 2 for number in range(20_000) if number % 1000]  # type: ignore[union-attr]


@pytest.mark.parametrize("filler", [b"", b'"q",1,2\n', b'"q"x,1,2\n', b"# c\n"])
def test_rows_with_too_few_cells_are_filled_and_those_with_too_many_refused(
    folder: Path, filler: bytes
) -> None:
    content = b"id,n,m\n1\n2,x\n3,x,y\n4,x,y,z\n\n,\n" + filler
    pages = read(folder, content, ragged="pad", comment="#", delimiter=",")
    assert rows(pages)[:4] == [["1", "", ""], ["2", "x", ""], ["3", "x", "y"], ["", "", ""]]
    assert reasons(pages) == ["ragged_row"]
    assert reasons(read(folder, content, comment="#", delimiter=",")) == ["ragged_row"] * 4


def test_bytes_that_are_no_text_are_rejects_that_name_the_first_by_its_place(folder: Path) -> None:
    content = b"id,n\n1,caf\xe9\n2,tea\n3,\xf0\x9f\n"
    pages = read(folder, content, encoding="utf-8")
    assert rows(pages) == [["2", "tea"]]
    assert [reject.message.split(" is ")[0] for page in pages for reject in page.rejects] == [
        "line 2: byte 10 (0xe9)",
        "line 4: byte 20 (0xf0)",
    ]


PIECES = st.lists(
    st.sampled_from(
        [
            b"1,2\n", b"3,x\r\n", b'"', b"\n", b"\r", b",", b"a", b'a","', b'""', b'"x\ny",2\n', b"\xff", b"1,2,3\r\n",
            b"# c\n", b"#", b"\xef\xbb\xbf", b"\x00", b" \n", "é,ß\n".encode(), b"7,8\n" * 30,
        ]
    ),
    max_size=30,
).map(b"".join)  # fmt: skip
DIALECTS = st.sampled_from(
    [{}, {"quotechar": None}, {"escapechar": "a"}, {"comment": "#"}, {"ragged": "pad"}]
)
SLOW = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(PIECES, DIALECTS, st.integers(1, 4))
def test_reading_goes_on_behind_any_page_as_if_it_had_never_stopped(
    folder: Path, content: bytes, declared: dict[str, Any], page_size: int
) -> None:
    declared = {"encoding": "utf-8", "delimiter": ",", **declared}
    pages = read(folder, b"k,n,m\n" + content, page_size=page_size, **declared)
    for number, page in enumerate(pages[:-1], 1):
        cursor = json.loads(json.dumps(page.cursor))
        rest = read(folder, b"k,n,m\n" + content, cursor, page_size, **declared)
        assert list(map(known_of, items(rest))) == list(map(known_of, items(pages[number:])))
        assert rest[-1].cursor == pages[-1].cursor


@SLOW
@given(PIECES, DIALECTS)
def test_every_byte_is_in_one_record_one_reject_or_a_line_that_is_none(
    folder: Path, content: bytes, declared: dict[str, Any]
) -> None:
    at, header = 6, b"k,n,m\n"
    content = header + content
    pages = read(folder, content, encoding="utf-8", delimiter=",", **declared)
    assert all(
        set(json.loads(record.payload)) == {"k", "n", "m"} for page in pages for record in page.records
    )
    for item in items(pages):
        assert no_records(content[at : item.origin.byte_start], declared)  # type: ignore[union-attr]
        assert item.origin.byte_start < item.origin.byte_end  # type: ignore[union-attr]
        at = item.origin.byte_end  # type: ignore[union-attr]
    assert no_records(content[at:], declared)


def no_records(between: bytes, declared: dict[str, Any]) -> bool:
    mark = declared.get("comment", "").encode() or b"\n"
    return all(not line.strip(b"\r\n") or line.startswith(mark) for line in between.splitlines(keepends=True))
