"""`kasparro keys`, and a server that is short of file descriptors."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from cli_process import CSV, PATIENCE, Kasparro

KEY = re.compile(r"kas_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


@pytest.fixture
def kasparro(tmp_path, database_url):
    shell = Kasparro(tmp_path, {"DATABASE_URL": database_url, "REQUIRE_KEYS": "true"})
    shell.catalog(CSV.format(name="airports"))
    return shell


def test_a_key_is_shown_once_and_listed_by_its_beginning(kasparro):
    made = kasparro.run("keys", "create", "dashboard")
    listed = kasparro.json("keys", "list")
    table = kasparro.run("keys", "list").stdout

    key = made.stdout.strip()
    assert KEY.fullmatch(key)
    assert made.stderr == ""
    assert [(k["prefix"], k["name"], k["scope"], k["state"]) for k in listed] == [
        (key[:16], "dashboard", "read", "active")
    ]
    assert key[:16] in table
    assert key not in table + json.dumps(listed)


def test_a_key_has_a_scope_an_end_and_a_limit(kasparro):
    made = kasparro.json("keys", "create", "robot", "--scope", "admin", "--expires", "90d", "--rate", "10")
    (listed,) = kasparro.json("keys", "list")

    assert KEY.fullmatch(made["key"])
    assert made["prefix"] == listed["prefix"] == made["key"][:16]
    assert (listed["scope"], listed["rate_per_minute"]) == ("admin", 10)
    assert listed["expires_at"] > listed["created_at"]


@pytest.mark.parametrize("form", ["prefix", "key"])
def test_a_key_is_revoked_by_its_beginning_or_the_whole_of_it(kasparro, form):
    made = kasparro.json("keys", "create", "robot")

    first = kasparro.json("keys", "revoke", made[form])
    again = kasparro.json("keys", "revoke", made[form])

    assert first["revoked_at"] == again["revoked_at"] is not None
    assert [k["state"] for k in kasparro.json("keys", "list")] == ["revoked"]


def test_a_key_that_is_not_there_cannot_be_revoked(kasparro):
    ended = kasparro.run("keys", "revoke", "kas_000000000000")

    assert ended.returncode == 1
    assert "there is no key" in ended.stderr
    assert "kasparro keys list" in ended.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--scope", "root"],
        ["--expires", "soon"],
        ["--expires", "0s"],
        ["--rate", "0"],
        [""],
        ["x" * 101],
        ["a\x1bb"],
    ],
)
def test_wrong_usage_makes_no_key(kasparro, options):
    name = [] if len(options) == 1 else ["robot"]

    assert kasparro.run("keys", "create", *name, *options).returncode == 2
    assert kasparro.json("keys", "list") == []


def test_where_no_key_is_asked_for_that_is_said(kasparro):
    made = kasparro.run("keys", "create", "robot", REQUIRE_KEYS="false")

    assert KEY.fullmatch(made.stdout.strip())
    assert "REQUIRE_KEYS=true" in made.stderr


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def listening(process: subprocess.Popen[str]) -> str:
    for line in process.stderr:
        if (event := json.loads(line))["event"] == "api.listening":
            return event["url"]
    raise AssertionError("it ended")


def test_a_key_opens_a_server_that_is_running(kasparro):
    with kasparro.start("serve") as process:
        url = listening(process)
        key = kasparro.run("keys", "create", "robot").stdout.strip()
        found = [status(f"{url}/data"), status(f"{url}/data", **{"X-API-Key": key})]
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE)

    assert found == [401, 200]
    assert key not in logged


def begin_to_connect(host: str, port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((host, port))
    return connection


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of descriptors")
def test_with_few_descriptors_many_silent_connections_do_not_end_the_service(kasparro):
    """250 connections and descriptors for 200: accepting more than there are would end the listener, or fill the log."""
    command = f"ulimit -n 200; exec {sys.executable} -m kasparro serve"
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=kasparro.folder,
        env=kasparro.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        url = listening(process)
        host, port = url.removeprefix("http://").split(":")
        process.send_signal(signal.SIGSTOP)  # so that they are all there at once
        silent = [begin_to_connect(host, int(port)) for _ in range(250)]
        process.send_signal(signal.SIGCONT)
        found = [status(f"{url}/health/live") for _ in range(5)]
        for connection in silent:
            connection.close()
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE)

    assert found == [200] * 5
    assert len(logged.splitlines()) < 50, logged[-2000:]
    assert "Too many open files" not in logged
