"""Runs over files that grow and change: nothing is read twice that stands, and what comes out is what one fresh load gives."""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.csv.progress import FileState, Place
from kasparro.ingestion.csv.resuming import kept
from kasparro.ingestion.csv.turns import CsvReading
from kasparro.schemas.ingest import Cursor, Page, RawRecord

SLOW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def source(folder: Path, path: str = "*.csv", **declared: Any) -> CsvSource:
    return CsvSource(**{"name": "table", "folder": folder, "path": path, "delimiter": ",", **declared})


def pages(declaration: CsvSource, after: Cursor | None = None, page_size: int = 100) -> Iterator[Page]:
    reading = CsvReading(declaration, page_size, after)
    with closing(reading):
        while True:
            page = reading.next_page()
            yield page
            if page.last:
                return


def read(declaration: CsvSource, after: Cursor | None = None, page_size: int = 100) -> list[Page]:
    return list(pages(declaration, after, page_size))


def rows(found: list[Page]) -> list[tuple[str, ...]]:
    return [tuple(json.loads(record.payload).values()) for page in found for record in page.records]


def unchanged(found: list[Page]) -> int:
    return sum(page.unchanged for page in found)


@dataclass
class Store:
    """What the pipeline keeps: the latest version of each record, and the cursor behind the last page it committed."""

    declaration: CsvSource
    records: dict[str, bytes] = field(default_factory=dict)
    cursor: Any = None
    complete: bool = False
    rejected: bool = False

    def run(self, page_size: int, pages_until_killed: int | None = None) -> tuple[int, int]:
        """Read and keep; return how many records came and how many were left alone."""
        again = self.complete and self.rejected
        after = None if again else self.cursor
        anew = after is None or self.complete
        came = left = 0
        for page in islice(pages(self.declaration, after, page_size), pages_until_killed):
            self.records |= {identity(record): record.payload for record in page.records}
            came, left = came + len(page.records), left + page.unchanged
            self.cursor = json.loads(json.dumps(page.cursor))
            self.complete = page.last
            self.rejected, anew = (self.rejected and not anew) or bool(page.rejects), False
        return came, left


def identity(record: RawRecord) -> str:
    cells = json.loads(record.payload)
    return str(cells.get("id", f"{record.payload!r} {record.repeat}"))


PIECES = st.lists(
    st.sampled_from(
        [
            b"1,a\n",
            b"1,b\r\n",
            b"2,a",
            b"2,a\n",
            b"\n",
            b"\r",
            b",",
            b'"x\ny",2\n',
            b'"',
            b"3,\xc3\xa9\n",
            b"4,4\n" * 20,
        ]
    ),
    max_size=6,
).map(b"".join)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["a.csv", "b.csv", "c.csv"]),
        st.sampled_from(["append", "append", "append", "replace", "cut"]),
        PIECES,
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=6,
)


@SLOW
@example(
    [
        ("a.csv", "append", b"1,a\n", None),
        ("b.csv", "append", b"1,b\n", None),
        ("b.csv", "replace", b"2,a\n", None),
    ],
    b"id,n\n",
    1,
)
@example(
    [
        ("b.csv", "append", b"1,a\n1,b\r\n", None),
        ("b.csv", "cut", b"", None),
        ("a.csv", "append", b"1,a\n", None),
        ("b.csv", "append", b"1,a\n", 0),
    ],
    b"id,n\n",
    1,
)
@example(
    [
        ("a.csv", "append", b'"1,a\n2,a', None),
        ("a.csv", "append", b"", 0),
        ("a.csv", "append", b'"', None),
    ],
    b"id,n\n",
    1,
)
@given(CHANGES, st.sampled_from([b"id,n\n", b"n,m\n"]), st.integers(1, 5))
def test_runs_over_files_that_change_come_to_what_one_fresh_load_gives(
    folder: Path, changes: list[tuple[str, str, bytes, int | None]], header: bytes, page_size: int
) -> None:
    for path in folder.glob("*.csv"):
        path.unlink()
    store = Store(source(folder, encoding="utf-8"))
    for name, change, piece, killed_after in changes:
        path = folder / name
        old = path.read_bytes() if path.exists() else header
        new = {
            "append": old + piece,
            "replace": header + piece,
            "cut": header + old[len(header) : len(old) // 2],
        }[change]
        path.write_bytes(new)
        store.run(page_size, killed_after)
    store.run(page_size)
    fresh = Store(store.declaration)
    total, _ = fresh.run(7)
    assert {key: store.records[key] for key in fresh.records} == fresh.records
    rejected = store.rejected
    came, left = store.run(page_size)
    assert came + left == total
    assert rejected or came == 0


@SLOW
@given(PIECES, PIECES, st.sampled_from([b"id,n\n", b"n,m\n"]), st.integers(1, 5))
def test_what_is_appended_is_read_alone_and_has_the_place_it_has_in_a_fresh_load(
    folder: Path, first: bytes, second: bytes, header: bytes, page_size: int
) -> None:
    path = folder / "grown.txt"
    path.write_bytes(header + first)
    declaration = source(folder, "grown.txt", encoding="utf-8")
    before = read(declaration, None, page_size)
    path.write_bytes(header + first + second)
    after = read(declaration, json.loads(json.dumps(before[-1].cursor)), page_size)
    fresh = read(declaration, None, page_size)
    if any(page.rejects for page in before):
        return  # then storage does not hand the cursor over
    came = [record for page in after for record in page.records]
    assert came == [record for page in fresh for record in page.records][unchanged(after) :]
    ended = not first or first.endswith(b"\n")
    known = sum(len(page.records) for page in before)
    assert unchanged(after) == known if ended else known - 1 <= unchanged(after) <= known


def files(folder: Path, **contents: str) -> None:
    for name, content in contents.items():
        (folder / f"{name}.csv").write_text(content)


def test_files_come_in_their_order_each_with_its_own_places(tmp_path: Path) -> None:
    files(tmp_path, b="id,n\n3,x\n", a="id,n\n1,x\n2,x\n", c="n,id\n# \n")
    found = read(source(tmp_path, ragged="pad"))
    assert [str(record.origin) for page in found for record in page.records] == [
        "a.csv:2 (bytes 5-9)",
        "a.csv:3 (bytes 9-13)",
        "b.csv:2 (bytes 5-9)",
        "c.csv:2 (bytes 5-8)",
    ]
    assert [page.last for page in found] == [False, False, True]


def test_a_run_over_files_that_have_not_changed_reads_no_record(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n", b="id,n\n3,x")
    cursor = read(source(tmp_path))[-1].cursor
    found = read(source(tmp_path), cursor)
    assert (rows(found), unchanged(found), found[-1].cursor) == ([], 3, cursor)


def test_a_source_whose_absent_records_are_deleted_is_read_whole_every_time(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n", b="id,n\n3,x\n")
    cursor = read(source(tmp_path))[-1].cursor
    found = read(source(tmp_path, snapshot=True), cursor)
    assert (len(rows(found)), unchanged(found)) == (3, 0)


def test_a_new_file_is_read_and_those_before_it_are_not(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n")
    cursor = read(source(tmp_path))[-1].cursor
    files(tmp_path, b="id,n\n3,x\n")
    found = read(source(tmp_path), cursor)
    assert (rows(found), unchanged(found)) == ([("3", "x")], 2)


def test_behind_a_file_that_changed_all_are_read_since_the_last_one_with_a_key_decides(
    tmp_path: Path,
) -> None:
    files(tmp_path, a="id,n\n1,old\n", b="id,n\n1,new\n")
    cursor = read(source(tmp_path))[-1].cursor
    files(tmp_path, a="id,n\n1,old\n2,x\n")
    found = read(source(tmp_path), cursor)
    assert (rows(found), unchanged(found)) == ([("2", "x"), ("1", "new")], 1)


def test_where_content_is_the_identity_files_do_not_depend_on_each_other(tmp_path: Path) -> None:
    files(tmp_path, a="n\n1\n", b="n\n2\n")
    cursor = read(source(tmp_path))[-1].cursor
    files(tmp_path, a="n\n1\n3\n")
    found = read(source(tmp_path), cursor)
    assert (rows(found), unchanged(found)) == ([("3",)], 2)


@pytest.mark.parametrize(
    ("content", "again"),
    [
        ("id,n\n1,x\n2,x\n3,x\n", [("3", "x")]),  # appended
        ("id,n\n1,x\n", [("1", "x")]),  # cut
        ("id,n\n2,x\n1,x\n", [("2", "x"), ("1", "x")]),  # in another order
        ("id,n\n1,y\n2,x\n", [("1", "y"), ("2", "x")]),  # replaced by one of the same size
        ("id,m\n1,x\n2,x\n", [("1", "x"), ("2", "x")]),  # another header
    ],
)
def test_a_file_that_changed_is_read_from_where_it_has_to_be(
    tmp_path: Path, content: str, again: list[tuple[str, ...]]
) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n")
    cursor = read(source(tmp_path))[-1].cursor
    files(tmp_path, a=content)
    assert rows(read(source(tmp_path), cursor)) == again


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("id,n\n1,x\n2,x", "id,n\n1,x\n2,xyz\n3,x\n", [("2", "xyz"), ("3", "x")]),
        ("id,n\n1,x\n2,x", "id,n\n1,x\n2,x\n3,x\n", [("2", "x"), ("3", "x")]),
        ("id,n\n1,x\r", "id,n\n1,x\r\n2,x\r\n", [("1", "x"), ("2", "x")]),  # half a line end
        ("id,n\n1,x\n2", "id,n\n1,x\n2,x\n", [("2", "x")]),
        ("id,n", "id,name\n1,x\n", [("1", "x")]),
        ("id,n", "id,n\n1,x\n", [("1", "x")]),
        ("", "id,n\n1,x\n", [("1", "x")]),
        ('id,n\n1,"a\nb"', 'id,n\n1,"a\nb""c"\n', [("1", 'a\nb"c')]),
    ],
)
def test_a_record_that_had_no_line_end_is_read_again_when_the_file_has_grown(
    tmp_path: Path, old: str, new: str, again: list[tuple[str, ...]]
) -> None:
    (tmp_path / "a.csv").write_bytes(old.encode())
    cursor = read(source(tmp_path, ragged="pad"))[-1].cursor
    (tmp_path / "a.csv").write_bytes(new.encode())
    found = read(source(tmp_path, ragged="pad"), cursor)
    assert rows(found) == again
    assert [r for p in found for r in p.records] == [
        r for p in read(source(tmp_path, ragged="pad")) for r in p.records
    ][unchanged(found) :]


@pytest.mark.parametrize(
    "declared",
    [{"map": {"title": "n"}}, {"null_values": ["NA"]}, {"map": {"title": {"path": "n", "default": "none"}}}],
)
def test_files_normalised_under_another_declaration_are_read_again(
    tmp_path: Path, declared: dict[str, Any]
) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n")
    cursor = read(source(tmp_path))[-1].cursor
    assert len(rows(read(source(tmp_path, **declared), cursor))) == 2
    assert rows(read(source(tmp_path, description="Other words", enabled=False), cursor)) == []


def test_a_pass_that_went_on_under_another_map_does_not_pass_for_one_under_it(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n2,x\n3,x\n")
    first = next(pages(source(tmp_path), None, 1))
    other = source(tmp_path, map={"title": "n"})
    rest = read(other, first.cursor, 1)
    assert len(rows(rest)) == 2
    assert len(rows(read(other, rest[-1].cursor))) == 3


def test_files_that_have_to_be_read_after_all_are_counted_once(tmp_path: Path) -> None:
    """What is gone from the last file may stand in those before it, which were found to be as they were."""
    for name in "abc":
        (tmp_path / f"{name}.csv").write_bytes(
            b"id,n\n" + b"".join(b"%d,%b\n" % (n, name.encode()) for n in range(3))
        )
    declaration = source(tmp_path)
    first = read(declaration)
    (tmp_path / "c.csv").write_bytes(b"id,n\n0,c\n")
    again = read(declaration, first[-1].cursor)
    assert (len(rows(again)), unchanged(again)) == (7, 0)
    assert unchanged(read(declaration, again[-1].cursor)) == 7


def test_a_file_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n", b="id,n\n2,x\n")
    cursor = read(source(tmp_path))[-1].cursor
    (tmp_path / "a.csv").unlink()
    found = read(source(tmp_path), cursor)
    assert unchanged(found) == 1
    assert found[-1].cursor is not None
    assert list(found[-1].cursor["done"]) == ["b.csv"]


def test_a_packed_file_that_has_grown_is_read_from_where_it_ended(tmp_path: Path) -> None:
    path, declaration = tmp_path / "a.csv.gz", source(tmp_path, "a.csv.gz")
    path.write_bytes(gzip.compress(b"id,n\n1,x\n"))
    cursor = read(declaration)[-1].cursor
    path.write_bytes(gzip.compress(b"id,n\n1,x\n2,x\n"))
    found = read(declaration, cursor)
    assert (rows(found), unchanged(found)) == ([("2", "x")], 1)


def test_members_of_an_archive_are_files_of_their_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.csv", "id,n\n1,x\n")
        archive.writestr("b.csv", "id,n\n2,x\n3,x\n")
    declaration = source(tmp_path, "all.zip!*.csv")
    first = read(declaration)
    assert [str(record.origin) for page in first for record in page.records] == [
        "all.zip!a.csv:2 (bytes 5-9)",
        "all.zip!b.csv:2 (bytes 5-9)",
        "all.zip!b.csv:3 (bytes 9-13)",
    ]
    again = read(declaration, first[-1].cursor)
    assert (rows(again), unchanged(again)) == ([], 3)


def test_the_verifying_of_a_file_can_be_ended_by_another_thread(tmp_path: Path) -> None:
    files(tmp_path, a="id,n\n1,x\n")
    with closing(open_file(*find(source(tmp_path)))) as file:
        file.interrupt()
        with pytest.raises(SourceError, match="ended before"):
            kept(file, FileState("", "", (Place(5, 2, 0, ""),)))


def test_equal_rows_are_told_apart_by_their_number_also_when_one_is_appended(tmp_path: Path) -> None:
    files(tmp_path, a="n\nx\ny\nx\n")
    first = read(source(tmp_path))
    assert [record.repeat for page in first for record in page.records] == [0, 0, 1]
    files(tmp_path, a="n\nx\ny\nx\nx\ny\n")
    found = read(source(tmp_path), first[-1].cursor)
    assert [record.repeat for page in found for record in page.records] == [2, 1]


@pytest.mark.parametrize("declared", [{"key": "n"}, {"header": ["id", "n"]}])
def test_rows_with_a_key_are_not_counted(tmp_path: Path, declared: dict[str, Any]) -> None:
    files(tmp_path, a="n,m\nx,1\nx,1\n")
    assert {record.repeat for page in read(source(tmp_path, **declared)) for record in page.records} == {0}
