"""Opening files: what is no file is refused, what is compressed is unpacked, what changes is noticed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kasparro.core.errors import (
    PathRefused,
    PermanentSourceError,
    SourceChanged,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import Location, open_file
from kasparro.ingestion.files.local import LocalPath
from kasparro.ingestion.files.special import OPEN_FLAGS, checked
from kasparro.ingestion.files.unpacking import Limits

CONTENT = b"id,name\n" + b"".join(
    b"%d,name %d\n" % (number, number * 7919 % 10007) for number in range(20_000)
)


def opened(path: Path) -> SourceFile:
    return open_file(Location(path.name, LocalPath(path, path.name), None, Limits()))


def content(path: Path) -> bytes:
    file = opened(path)
    try:
        return b"".join(iter(lambda: file.read(10_000), b""))
    finally:
        file.close()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.csv", bytes),
        ("a.csv.gz", gzip.compress),
        ("a.GZ", gzip.compress),
        ("a.bz2", bz2.compress),
        ("a.xz", lzma.compress),
        ("gzip-by-content.csv", gzip.compress),
        ("empty-first.csv", lambda data: bz2.compress(b"") + bz2.compress(data)),
        ("two-members.gz", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
    ],
)
def test_plain_and_compressed_files_give_their_content(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(CONTENT))
    assert content(path) == CONTENT
    file = opened(path)
    try:
        assert file.size == (len(CONTENT) if name == "a.csv" else None)
        file.read(50_000)
        for offset in (100_000, 10):
            file.seek(offset)
            assert file.read(20) == CONTENT[offset : offset + 20]
    finally:
        file.close()


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_truncated_file_is_transient_and_a_corrupt_one_is_not(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(CONTENT)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(packed[:-20])
    with pytest.raises(TruncatedContent, match=r"read up to byte \d+"):
        content(path)
    path.write_bytes(packed[:2000] + b"\xff" * 500 + packed[2500:])
    with pytest.raises(UnexpectedContent, match=r"corrupt \(read up to byte \d+\)"):
        content(path)
    path.write_bytes(b"id,name\n1,2\n")
    with pytest.raises(UnexpectedContent, match="corrupt"):
        content(path)


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        PermanentSourceError, match=r"no such file\. `path` is a file or a pattern, relative"
    ) as raised:
        opened(tmp_path / "none.csv")
    assert raised.value.place == str(tmp_path / "none.csv")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id\n")
    path.chmod(0)
    with pytest.raises(PermanentSourceError, match="permission"):
        opened(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_what_is_no_regular_file_is_refused_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, what in [
            (tmp_path, "a directory"),
            (tmp_path / "pipe", "a named pipe"),
            (tmp_path / "link", "a named pipe"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/zero"), "a device"),
        ]:
            with pytest.raises(PathRefused, match=what):
                opened(path)


def test_what_turns_out_to_be_no_file_once_it_is_open_is_refused_and_closed(tmp_path: Path) -> None:
    """It may have been swapped since it was looked at."""
    os.mkfifo(tmp_path / "a.csv")
    handle = os.open(tmp_path / "a.csv", OPEN_FLAGS)
    with pytest.raises(PathRefused, match="named pipe"):
        checked(handle, "a.csv")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "file/below"])
def test_an_unusable_path_is_a_source_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PermanentSourceError):
        opened(tmp_path / name)


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="a file whose reading fails is only known on Linux"
)
def test_a_read_error_carries_its_errno() -> None:
    with pytest.raises(TransientSourceError, match="EIO") as raised:
        opened(Path("/proc/self/mem"))
    assert isinstance(raised.value.__cause__, OSError)


def change_nothing(path: Path) -> None:
    path.read_bytes()


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"1\n")


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize("change", [append, truncate, rewrite, replace, Path.unlink])
def test_every_change_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    file = opened(path)
    try:
        change_nothing(path)
        file.check_unchanged()
        change(path)
        with pytest.raises(SourceChanged) as raised:
            file.check_unchanged()
        assert isinstance(raised.value, SourceError)
    finally:
        file.close()


def test_the_fingerprint_tells_one_file_from_another(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    prints = []
    for data in (b"id\n1\n", b"id\n2\n", b"id\n1\n3\n"):
        path.write_bytes(data)
        file = opened(path)
        prints.append(file.fingerprint)
        file.close()
    assert len({one["head_sha256"] for one in prints}) == 3
    assert [one["size"] for one in prints] == [5, 5, 7]
