from __future__ import annotations

import subprocess
import sys

import pytest

from kasparro.core.embedded.locks import FileLock, open_owned


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.lock"


def test_an_exclusive_lock_excludes_everybody(path):
    with FileLock(path) as first, FileLock(path) as second, FileLock(path, shared=True) as third:
        assert first.try_acquire()
        assert not second.try_acquire()
        assert not third.acquire(0)
        first.release()
        assert second.try_acquire()


def test_shared_locks_are_compatible_and_keep_an_exclusive_one_out(path):
    with FileLock(path, shared=True) as first, FileLock(path, shared=True) as second, FileLock(path) as third:
        assert first.try_acquire()
        assert second.try_acquire()
        first.release()
        assert not third.try_acquire()
        second.release()
        assert third.try_acquire()


def test_acquiring_twice_is_acquiring_once(path):
    with FileLock(path) as lock, FileLock(path) as other:
        assert lock.try_acquire()
        descriptor = lock.descriptor
        assert lock.try_acquire()
        assert lock.descriptor == descriptor
        lock.release()
        lock.release()
        assert not lock.held
        assert other.try_acquire()


def test_a_lock_not_held_has_no_descriptor(path):
    with pytest.raises(ValueError, match="is not locked"):
        _ = FileLock(path).descriptor


def test_a_child_that_inherited_the_lock_keeps_it_until_it_ends(path):
    with FileLock(path) as lock, FileLock(path) as other:
        assert lock.try_acquire()
        command = [sys.executable, "-S", "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as child:
            lock.release()
            assert not other.try_acquire()
            child.communicate(b"\n")
        assert other.try_acquire()


def test_a_file_that_is_a_link_is_not_opened(tmp_path, path):
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        open_owned(path)
    (tmp_path / "victim").touch()
    with pytest.raises(OSError, match="symbolic links"):
        open_owned(path)


def test_a_new_file_is_private(path):
    with FileLock(path) as lock:
        assert lock.try_acquire()
        assert path.stat().st_mode & 0o777 == 0o600
