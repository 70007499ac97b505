"""Zip archives: which members are read, and what is refused."""

from __future__ import annotations

import gzip
import os
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kasparro.core.errors import (
    FileTooLarge,
    PathRefused,
    PermanentSourceError,
    SourceChanged,
    SourceError,
    UnexpectedContent,
)
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import Location, find, open_file

CONTENT = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n * 7919 % 10007) for n in range(20_000))


def archive(path: Path, *members: str, content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for member in members:
            made.writestr(member, content)
    return path


def locations(path: Path, member: str = "", **declared: Any) -> list[Location]:
    return list(find(CsvSource(name="s", folder=path.parent, path=path.name + member, **declared)))


def names(path: Path, member: str = "") -> list[str]:
    return [location.name for location in locations(path, member)]


def content(location: Location) -> bytes:
    return rest(open_file(location))


def rest(file: SourceFile) -> bytes:
    try:
        return b"".join(iter(lambda: file.read(10_000), b""))
    finally:
        file.close()


@pytest.mark.parametrize(
    ("members", "chosen"),
    [
        (["only.dat"], "only.dat"),
        (["readme.md", "data.csv"], "data.csv"),
        (["x/", "x/data.TSV", "x/readme"], "x/data.TSV"),
        (["__MACOSX/._a.csv", ".b.csv", "a.csv", "x/.hidden/c.csv"], "a.csv"),
    ],
)
def test_an_archive_stands_for_its_only_table(tmp_path: Path, members: list[str], chosen: str) -> None:
    path = archive(tmp_path / "a.ZIP", *members)
    (found,) = locations(path)
    assert found.name == f"a.ZIP!{chosen}"
    assert content(found) == CONTENT


def test_several_tables_have_to_be_chosen_from(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "b.csv", "a.csv", "x/c.csv", "n.txt")
    with pytest.raises(UnexpectedContent, match=r"has 4 CSV files: a\.csv, b\.csv, n\.txt, x/c\.csv"):
        locations(path)
    assert names(path, "!*.csv") == ["a.zip!a.csv", "a.zip!b.csv"]
    assert names(path, "!**/*.csv") == ["a.zip!a.csv", "a.zip!b.csv", "a.zip!x/c.csv"]
    assert names(path, "!x/c.csv") == ["a.zip!x/c.csv"]
    with pytest.raises(PermanentSourceError, match="no member of the archive matches"):
        locations(path, "!*.parquet")
    with pytest.raises(PermanentSourceError, match="no such member"):
        content(locations(path, "!none.csv")[0])


def test_no_table_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnexpectedContent, match="no member of the zip archive is a CSV file"):
        locations(archive(tmp_path / "a.zip", "a.xml", "b.xml"))


def test_patterns_of_archives_and_of_members_go_together(tmp_path: Path) -> None:
    archive(tmp_path / "b.zip", "2.csv", "1.csv")
    archive(tmp_path / "a.zip", "3.csv", "note.md")
    found = find(CsvSource(name="s", folder=tmp_path, path="*.zip!*.csv"))
    assert [one.name for one in found] == ["a.zip!3.csv", "b.zip!1.csv", "b.zip!2.csv"]


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    path = archive(tmp_path / "download", "a.csv")
    (found,) = locations(path)
    assert (found.name, content(found)) == ("download", CONTENT)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_can_be_read_from_any_place(tmp_path: Path, method: int) -> None:
    (found,) = locations(archive(tmp_path / "a.zip", "a.csv", method=method))
    file = open_file(found)
    assert file.size is None
    for offset in (100_000, 10, 200_000, 0):
        file.seek(offset)
        assert file.read(1000) == CONTENT[offset : offset + 1000]
    file.close()


def test_an_archive_of_the_large_kind_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made, made.open("a.csv", "w", force_zip64=True) as member:
        member.write(CONTENT)
    assert content(locations(path)[0]) == CONTENT


@pytest.mark.parametrize(
    "name", ["../a.csv", "/etc/a.csv", "x/../../a.csv", "C:/a.csv", "..\\a.csv", "a\x07.csv"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", name)
    with pytest.raises(PathRefused, match="leads out of the archive"):
        content(locations(path)[0])
    with pytest.raises(PathRefused, match="leads out of the archive"):
        locations(path, f"!{name}")


def test_a_folder_and_a_link_in_an_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.csv")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(link, "/etc/passwd")
        made.writestr("folder/", "")
    for member in ("link.csv", "folder/x"[:-1]):
        with pytest.raises(PathRefused, match="a folder or a link"):
            content(
                Location(
                    member,
                    locations(path, "!link.csv")[0].file,
                    member,
                    locations(path, "!link.csv")[0].limits,
                )
            )


def patched(path: Path, offset: int, value: bytes) -> Path:
    """Change a field of the member's two headers: that in front of it and that in the directory."""
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[offset : offset + len(value)] = value
    data[central + offset + 2 : central + offset + 2 + len(value)] = value
    path.write_bytes(data)
    return path


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = patched(archive(tmp_path / "a.zip", "a.csv"), 6, b"\x01\x00")
    with pytest.raises(PathRefused, match="encrypted"):
        content(locations(path)[0])


def test_another_method_than_the_usual_ones_is_refused_by_its_number(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "a.csv", method=zipfile.ZIP_BZIP2)
    with pytest.raises(UnexpectedContent, match="method 12"):
        content(locations(path)[0])


def test_a_member_of_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = archive(tmp_path / "a.zip", "a.csv", "a.csv")
    with pytest.raises(UnexpectedContent, match="2 members of this name"):
        content(locations(path, "!a.csv")[0])


def test_a_member_that_does_not_match_its_checksum_is_an_error(tmp_path: Path) -> None:
    path = patched(archive(tmp_path / "a.zip", "a.csv"), 14, b"\0\0\0\0")
    with pytest.raises(UnexpectedContent, match="corrupt"):
        content(locations(path)[0])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "a.csv", content=bytes(100 * 1024 * 1024))
    with pytest.raises(FileTooLarge, match="800 times"):
        open_file(locations(path)[0])
    with pytest.raises(FileTooLarge, match="`max_size`"):
        open_file(locations(path, max_ratio=2000, max_size=1000)[0])


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "a.csv", content=bytes(100 * 1024 * 1024))
    patched(path, 22, struct.pack("<I", 1000))
    with pytest.raises(UnexpectedContent, match="corrupt"):
        content(locations(path)[0])


def test_what_is_compressed_again_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "a.csv.gz", content=gzip.compress(CONTENT))
    with pytest.raises(UnexpectedContent, match="gzip data again"):
        content(locations(path)[0])


def test_a_huge_directory_is_refused_without_being_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", *(f"{n:01000}.csv" for n in range(9_000)), content=b"")
    with pytest.raises(FileTooLarge, match="directory of the zip archive"):
        locations(path)


@pytest.mark.parametrize("size", [0, 10, 100, 1000])
def test_a_cut_archive_is_an_error_of_ours(tmp_path: Path, size: int) -> None:
    path = archive(tmp_path / "a.zip", "a.csv")
    os.truncate(path, size)
    with pytest.raises(SourceError):
        locations(path)


def test_an_archive_that_changes_is_noticed(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "a.csv")
    file = open_file(locations(path)[0])
    assert file.fingerprint["member"] == "a.csv"
    archive(path, "a.csv", content=b"id\n1\n")
    with pytest.raises(SourceChanged):
        file.check_unchanged()
    file.close()
