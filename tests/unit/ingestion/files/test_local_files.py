"""Finding files of this machine: what a pattern names, what is no file, what is not below the root."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kasparro.core.errors import PathRefused, PermanentSourceError, SourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.locations import Location, find, open_file

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
INSIDE, OUTSIDE = b"id\ninside\n", b"id\noutside\n"


def names(folder: Path, path: str, root: str | None = None) -> list[str]:
    return [location.name for location in locations(folder, path, root)]


def locations(folder: Path, path: str, root: str | None = None) -> list[Location]:
    return list(find(CsvSource(name="s", folder=folder, path=path, root=root)))


def content(location: Location) -> bytes:
    file = open_file(location)
    try:
        return file.read(1000)
    finally:
        file.close()


def write(path: Path, data: bytes = INSIDE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_come_in_the_order_of_their_paths_as_declared(tmp_path: Path) -> None:
    for name in ("b.csv", "a10.csv", "a2.csv", "sub/a.csv", "sub/c.txt"):
        write(tmp_path / "data" / name)
    assert names(tmp_path, "data/*.csv") == ["data/a10.csv", "data/a2.csv", "data/b.csv"]
    assert names(tmp_path, "data/**/*.csv") == [
        "data/a10.csv",
        "data/a2.csv",
        "data/b.csv",
        "data/sub/a.csv",
    ]
    assert names(tmp_path, f"{tmp_path}/data/b*") == [f"{tmp_path}/data/b.csv"]
    assert names(tmp_path / "data", "../data/b.csv") == ["../data/b.csv"]


def test_a_pattern_that_matches_nothing_is_an_error_that_says_so(tmp_path: Path) -> None:
    write(tmp_path / ".hidden.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PermanentSourceError, match=r"no file matches the pattern.*hidden names") as raised:
        names(tmp_path, "*.csv")
    assert raised.value.place == str(tmp_path / "*.csv")
    with pytest.raises(PermanentSourceError, match="no such file"):
        names(tmp_path, "missing/*.csv")


def test_a_missing_file_is_told_when_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(PermanentSourceError, match="no such file"):
        names(tmp_path, "a.csv")


@posix
@pytest.mark.parametrize("root", [None, "."])
@pytest.mark.parametrize("written", ["as a name", "as a pattern"])
def test_what_is_no_file_is_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str | None, written: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo(tmp_path / "pipe")
    pattern = written == "as a pattern"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        for name, what in (("pipe", "a named pipe"), ("sock", "a socket")):
            with pytest.raises(PathRefused, match=what):
                names(tmp_path, f"{name[:-1]}[{name[-1]}]" if pattern else name, root)
    if root is None:
        with pytest.raises(PathRefused, match="a device"):
            names(Path("/dev"), "zer[o]" if pattern else "zero")
    if not pattern:
        with pytest.raises(PathRefused, match="a directory"):
            names(tmp_path.parent, tmp_path.name, root)


@posix
def test_double_stars_do_not_go_in_circles_and_names_follow_links(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.csv")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "circle.csv").symlink_to("circle.csv")
    (tmp_path / "a" / "link.csv").symlink_to("x.csv")
    assert names(tmp_path, "**/x.csv") == ["a/x.csv"]
    assert names(tmp_path, "*/x.csv") == ["a/x.csv", "b/x.csv"]
    assert names(tmp_path, "a/l*.csv") == ["a/link.csv"]
    with pytest.raises(SourceError, match="ELOOP"):
        names(tmp_path, "a/*.csv")


@posix
def test_a_name_that_is_no_text_is_shown_escaped_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.csv"
    try:
        Path(os.fsdecode(path)).write_bytes(INSIDE)
    except OSError:
        pytest.skip("this file system takes only text")
    (found,) = locations(tmp_path, "*.csv")
    assert found.name == "\\xff.csv"
    assert content(found) == INSIDE


def make_link(path: Path, target: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


ESCAPES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "dots": ("data/../secret.csv", lambda _: None),
    "dots in a folder": ("data/sub/../../secret.csv", lambda _: None),
    "another folder": ("secret.csv", lambda _: None),
    "an absolute path": ("/etc/passwd", lambda _: None),
    "a link to a file": ("data/x.csv", lambda top: make_link(top / "data/x.csv", top / "secret.csv")),
    "a relative link": ("data/x.csv", lambda top: make_link(top / "data/x.csv", "../secret.csv")),
    "a link to a folder": ("data/out/secret.csv", lambda top: make_link(top / "data/out", "..")),
    "a link to a link": (
        "data/x.csv",
        lambda top: (
            make_link(top / "data/x.csv", "sub/y.csv"),
            make_link(top / "data/sub/y.csv", "../../secret.csv"),
        )[0],
    ),
    "a link to the root of the system": ("data/x/etc/passwd", lambda top: make_link(top / "data/x", "/")),
    "the environment of the process": (
        "data/x.csv",
        lambda top: make_link(top / "data/x.csv", "/proc/self/environ"),
    ),
}


@posix
@pytest.mark.parametrize("escape", ESCAPES)
def test_no_path_leaves_the_root(tmp_path: Path, escape: str) -> None:
    write(tmp_path / "data" / "sub" / "a.csv")
    write(tmp_path / "secret.csv", OUTSIDE)
    path, prepare = ESCAPES[escape]
    prepare(tmp_path)
    with pytest.raises(PathRefused):
        locations(tmp_path, path, "data")


@posix
def test_no_pattern_leaves_the_root(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv")
    write(tmp_path / "other" / "secret.csv", OUTSIDE)
    make_link(tmp_path / "data" / "out", "../other")
    assert names(tmp_path, "data/**/*.csv", "data") == ["data/a.csv"]
    for pattern in ("data/*/*.csv", "data/out/*.csv", "*/a.csv", "data/../other/*.csv"):
        with pytest.raises(PathRefused):
            names(tmp_path, pattern, "data")
    make_link(tmp_path / "data" / "secret.csv", "../other/secret.csv")
    with pytest.raises(PathRefused, match="leaves the declared root"):
        names(tmp_path, "data/*.csv", "data")


@posix
def test_what_stays_below_the_root_is_read_links_and_dots_included(tmp_path: Path) -> None:
    write(tmp_path / "data" / "2024" / "a.csv")
    make_link(tmp_path / "data" / "current", "2024")
    make_link(tmp_path / "data" / "absolute.csv", tmp_path / "data" / "2024" / "a.csv")
    make_link(tmp_path / "data" / "2024" / "up.csv", "../current/./a.csv")
    make_link(tmp_path / "linked", "data")
    for path in (
        "data/2024/a.csv",
        "data/current/a.csv",
        "data/absolute.csv",
        "data/2024/up.csv",
        "data/2024/../current/../2024/a.csv",
    ):
        (found,) = locations(tmp_path, path, "data")
        assert content(found) == INSIDE
    (found,) = locations(tmp_path, "linked/2024/a.csv", "linked")
    assert content(found) == INSIDE
    assert names(tmp_path, "data/*/a.csv", "data") == ["data/2024/a.csv", "data/current/a.csv"]


@posix
def test_a_circle_of_links_below_the_root_ends(tmp_path: Path) -> None:
    make_link(tmp_path / "data" / "a.csv", "b.csv")
    make_link(tmp_path / "data" / "b.csv", "a.csv")
    with pytest.raises(SourceError, match="ELOOP"):
        locations(tmp_path, "data/a.csv", "data")


@pytest.fixture
def swapping(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Another thread swaps file and folder for links out of the root and back, as fast as it can."""
    stop = threading.Event()
    inside, outside = tmp_path / "data" / "sub", tmp_path / "elsewhere"
    write(inside / "a.csv")
    write(outside / "a.csv", OUTSIDE)
    started = threading.Event()

    def swap() -> None:
        link, file = tmp_path / "link", tmp_path / "file"
        while not stop.is_set():
            with suppress(OSError):
                link.symlink_to(outside / "a.csv")
                link.rename(inside / "a.csv")
                file.write_bytes(INSIDE)
                file.rename(inside / "a.csv")
                inside.rename(tmp_path / "parked")
                inside.symlink_to(outside)
                started.set()
                inside.unlink()
                (tmp_path / "parked").rename(inside)

    thread = threading.Thread(target=swap)
    thread.start()
    started.wait(10)
    yield started.wait
    stop.set()
    thread.join()


@posix
@pytest.mark.usefixtures("swapping")
def test_no_race_with_links_reads_outside_of_the_root(tmp_path: Path) -> None:
    outcomes = set()
    for _ in range(1_000):
        try:
            (found,) = locations(tmp_path, "data/sub/a.csv", "data")
            outcomes.add(content(found))
        except SourceError as error:
            outcomes.add(type(error))
    assert OUTSIDE not in outcomes
    assert INSIDE in outcomes


@posix
def test_no_folder_stays_open(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a" / "b" / "c.csv")
    make_link(tmp_path / "data" / "out.csv", "../../x")
    before = open_handles()
    for path in ("data/a/b/c.csv", "data/**/c.csv", "data/a/../a/b/c.csv"):
        assert content(locations(tmp_path, path, "data")[0]) == INSIDE
    for path in ("data/out.csv", "data/a/b/none.csv", "data/none/*.csv", "data/a"):
        with pytest.raises(SourceError):
            locations(tmp_path, path, "data")
    assert open_handles() == before


def open_handles() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())
