from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.processes import (
    PostmasterFile,
    accepts_connections,
    all_on,
    exists,
    read_postmaster_file,
    works_on,
)

READY = "4711\n/data\n1795405627\n5432\n/run\n\n 16081389  11\nready   \n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (READY, PostmasterFile(4711, "ready")),
        (READY.replace("ready", "stopping"), PostmasterFile(4711, "stopping")),
        ("4711\n/data\n", PostmasterFile(4711, "")),
        ("-4711\n/data\n", PostmasterFile(4711, "")),  # a stand-alone backend
        ("", PostmasterFile(0, "")),
        ("garbage\n", PostmasterFile(0, "")),
    ],
)
def test_the_postmaster_file_is_read_however_torn(tmp_path, text, expected):
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_postmaster_file(tmp_path) == expected


def test_no_postmaster_file_is_no_postmaster(tmp_path):
    assert read_postmaster_file(tmp_path) is None
    assert all_on(tmp_path) == []


def test_a_process_that_is_not_postgres_does_not_work_on_the_data(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE
    ) as process:
        assert exists(process.pid)
        assert not works_on(process.pid, tmp_path)
        process.communicate(b"\n")
    assert not exists(process.pid)


@pytest.mark.parametrize("pid", [0, -1])
def test_numbers_that_mean_groups_are_no_processes(pid):
    assert not exists(pid)


@pytest.fixture
def short_directory():
    """The path of a socket must be short, and that of pytest's directories may be long."""
    with tempfile.TemporaryDirectory(prefix="kp-", dir="/tmp") as made:
        yield Path(made)


def test_only_a_ready_server_that_listens_accepts_connections(short_directory):
    layout = Layout(short_directory, short_directory)
    layout.data.mkdir()
    state = layout.data / "postmaster.pid"
    with socket.socket(socket.AF_UNIX) as server:
        assert not accepts_connections(layout)
        state.write_text(READY)
        assert not accepts_connections(layout)
        server.bind(str(layout.socket))
        assert not accepts_connections(layout)
        server.listen()
        assert accepts_connections(layout)
        state.write_text(READY.replace("ready", "starting"))
        assert not accepts_connections(layout)
