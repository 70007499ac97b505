from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kasparro.core.embedded import supervisor
from kasparro.core.embedded.supervisor import Task, rotate


@pytest.fixture
def log(tmp_path):
    return tmp_path / "server.log"


def test_a_short_log_is_left_alone(log):
    log.write_text("short")
    rotate(log, limit=5)
    assert log.read_text() == "short"
    assert not log.with_name("server.log.1").exists()


def test_a_long_log_is_moved_aside_once_and_goes_on_in_the_same_file(log):
    with log.open("a") as server:
        for text in ("first!", "second"):
            server.write(text)
            server.flush()
            rotate(log, limit=5)
        server.write("third")
    assert log.read_text() == "third"
    assert log.with_name("server.log.1").read_text() == "second"


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same(log):
    log.write_text("too long")
    log.with_name("server.log.1").mkdir()
    rotate(log, limit=5)
    assert log.read_text() == ""


def test_a_missing_log_is_no_error(log):
    rotate(log)


def test_a_task_survives_its_journey_to_the_supervisor():
    task = Task(["postgres"], {"A": "é"}, None, 5, [3, 4], "pid", "lock", "run", "log")
    assert Task(**json.loads(task.to_json())) == task


def test_the_supervisor_needs_nothing_but_the_standard_library():
    check = f"import runpy, sys; runpy.run_path({supervisor.__file__!r}); print(any('kasparro' in m for m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", check], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"
