"""When others want the processors: told by how long the threads of a process wait for one."""

from __future__ import annotations

import os

import pytest

from kasparro.core import clock, crowding
from kasparro.core.crowding import WINDOW_SECONDS, Crowding

SECOND = 10**9


class Process:
    """Threads whose times are set, watched at a time that is set."""

    def __init__(self, monkeypatch, nice=10):
        self.threads = {"1": (5 * SECOND, 7 * SECOND)}
        self.time = 100.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.time)
        monkeypatch.setattr(os, "getpriority", lambda _which, _who: nice)
        self.crowding = Crowding(lambda: dict(self.threads))

    def work(self, ran, waited, seconds=1.0, thread="1"):
        """Say whether there is a crowd *seconds* later."""
        before = self.threads.get(thread, (0, 0))
        self.threads[thread] = before[0] + int(ran * SECOND), before[1] + int(waited * SECOND)
        self.time += seconds
        return self.crowding()


@pytest.fixture
def process(monkeypatch):
    return Process(monkeypatch)


def test_waiting_longer_than_working_is_a_crowd_until_hardly_anybody_waits(process):
    assert not process.work(0.8, 0.5)
    assert process.work(0.5, 1.0)
    assert process.work(0.5, 0.2)
    assert not process.work(0.5, 0.05)
    assert not process.work(0.5, 0.2)


def test_what_is_told_holds_for_a_moment(process):
    assert process.work(0.5, 1.0)
    assert process.work(0.05, 0.0, seconds=WINDOW_SECONDS / 2)
    assert not process.work(0.05, 0.0, seconds=WINDOW_SECONDS)


def test_threads_that_came_or_went_are_not_counted(process):
    assert not process.work(9.0, 90.0, thread="2")
    process.threads.pop("1")
    assert process.work(0.5, 1.0, thread="2")


def test_little_work_is_nothing_to_judge_by(process):
    assert process.work(0.5, 1.0)
    assert not process.work(0.01, 1.0)


def test_where_the_system_does_not_tell_there_is_no_crowd(process):
    process.threads.clear()
    process.time += 1
    assert not process.crowding()


def test_who_is_not_nice_is_told_of_no_crowd(monkeypatch):
    assert not Process(monkeypatch, nice=0).work(0.5, 5.0)


def test_a_thread_that_has_ended_is_passed_over(tmp_path, monkeypatch):
    for thread, text in (("1", "12 34 5\n"), ("2", "")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    monkeypatch.setattr(crowding, "TASKS", tmp_path)
    assert crowding.own_threads() == {"1": (12, 34)}


def test_this_process_is_told_of_its_own_threads():
    before = crowding.own_threads()
    if not before:
        pytest.skip("this system does not tell")
    while (now := crowding.own_threads()[str(os.getpid())]) <= before[str(os.getpid())]:
        pass
    assert now[0] > before[str(os.getpid())][0]
