"""`kasparro serve --workers`: several processes on one address, as the processes they are."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import tempfile
import urllib.error
import urllib.request

import pytest

from cli_process import CSV, PATIENCE, Kasparro

WORKERS = 2


@pytest.fixture
def kasparro(tmp_path, database_url):
    with tempfile.TemporaryDirectory(prefix="k-") as short:  # a parent that is killed leaves its folder
        made = Kasparro(tmp_path, {"DATABASE_URL": database_url, "DB_POOL_SIZE": "2", "TMPDIR": short})
        made.catalog(CSV.format(name="alpha"))
        made.csv("alpha", 20)
        yield made


def entries(process, event, count=1):
    """The log up to *count* lines of *event*, and these."""
    seen, found = [], []
    for line in process.stderr:
        seen.append(line)
        entry = json.loads(line)
        if entry["event"] == event:
            found.append(entry)
        if len(found) == count:
            return found, [json.loads(line) for line in seen]
    raise AssertionError("".join(seen))


def pids(log):
    return {line["worker"]: line["pid"] for line in log if line["event"] == "api.worker_started"}


def read(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def await_end_of(pid):
    """The end of a process that is not our child."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], PATIENCE)[0], f"process {pid} lives on"
    finally:
        os.close(process)


def test_what_a_supervisor_of_services_sends_to_all_ends_all_in_good_order(kasparro):
    with kasparro.start("serve", "--workers", str(WORKERS)) as process:
        listening, log = entries(process, "api.listening", WORKERS)
        asking = [*pids(log).values(), process.pid]
        with urllib.request.urlopen(f"{listening[0]['url']}/data/stream", timeout=PATIENCE) as stream:
            for pid in asking:
                os.kill(pid, signal.SIGTERM)
            stream.read()  # to its end, which one that is cut off does not have
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + signal.SIGTERM
    assert "api.worker_killed" not in err
    for pid in asking[:-1]:
        await_end_of(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_serve_on_one_address_and_end_together(kasparro, number):
    assert kasparro.run("ingest").returncode == 0
    with kasparro.start("serve", "--workers", str(WORKERS)) as process:
        listening, log = entries(process, "api.listening", WORKERS)
        assert {entry["worker"] for entry in listening} == set(range(WORKERS))
        (url,) = {entry["url"] for entry in listening}
        for _ in range(20):
            assert json.loads(read(f"{url}/data"))["total_count"] == 20

        process.send_signal(number)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number
    for pid in pids(log).values():
        await_end_of(pid)
    with pytest.raises(urllib.error.URLError):
        read(f"{url}/health/live")


def test_one_scrape_tells_of_all_workers(kasparro):
    with kasparro.start("serve", SERVE_WORKERS=str(WORKERS)) as process:
        listening, _ = entries(process, "api.listening", WORKERS)
        url = listening[0]["url"]
        for _ in range(30):
            read(f"{url}/health/live")
        text = read(f"{url}/metrics")
        process.terminate()
        process.communicate(timeout=PATIENCE)

    counts = re.findall(
        r'^kasparro_http_requests_total\{method="GET",route="/health/live",status="200",worker="(\d)"\} (\S+)',
        text,
        re.MULTILINE,
    )
    assert sum(float(count) for _, count in counts) == 30
    assert f"kasparro_workers {WORKERS}.0" in text
    for worker in range(WORKERS):
        assert f'kasparro_database_pool_size{{pool="api",worker="{worker}"}}' in text
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(families) == len(set(families))
    assert text.count("kasparro_database_up 1.0") == 1


def test_a_worker_that_dies_is_replaced_while_the_other_serves(kasparro):
    with kasparro.start("serve", "--workers", str(WORKERS)) as process:
        listening, log = entries(process, "api.listening", WORKERS)
        os.kill(pids(log)[0], signal.SIGKILL)
        (ended,), _ = entries(process, "api.worker_ended")
        assert (ended["worker"], ended["exit_code"]) == (0, -signal.SIGKILL)
        read(f"{listening[0]['url']}/health/live")
        (again,), _ = entries(process, "api.listening")
        assert again["worker"] == 0
        assert f"kasparro_workers {WORKERS}.0" in read(f"{again['url']}/metrics")
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_a_worker_that_cannot_be_started_is_tried_again(kasparro):
    with kasparro.start("serve", "--workers", str(WORKERS)) as process:
        _, log = entries(process, "api.listening", WORKERS)
        files = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, files[1]))
        os.kill(pids(log)[0], signal.SIGKILL)
        (refused,), _ = entries(process, "api.worker_not_started")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, files)
        (again,), _ = entries(process, "api.listening")
        assert (refused["worker"], again["worker"]) == (0, 0)
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_workers_do_not_outlive_their_parent(kasparro):
    with kasparro.start("serve", "--workers", str(WORKERS)) as process:
        _, log = entries(process, "api.listening", WORKERS)
        process.kill()
        process.wait(PATIENCE)
        for pid in pids(log).values():
            await_end_of(pid)


def test_what_is_wrong_with_the_catalog_is_said_once(kasparro):
    kasparro.catalog("sources:\n  alpha:\n    type: nothing\n")
    ended = kasparro.process("serve", "--workers", str(WORKERS))

    assert ended.returncode == 2
    assert ended.stderr.count("alpha") == 1
    assert "api.worker_started" not in ended.stderr


def test_a_folder_whose_name_is_too_long_for_sockets_is_refused(kasparro):
    folder = kasparro.folder / ("x" * 90)
    folder.mkdir()
    ended = kasparro.process("serve", "--workers", str(WORKERS), TMPDIR=str(folder))

    assert ended.returncode == 2
    assert "too long" in ended.stderr
    assert "hint: Set TMPDIR" in ended.stderr
    assert list(folder.iterdir()) == []
