"""A tap as a process of its own: what it writes, how it ends, what is left of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from kasparro.core.errors import TapFailed
from kasparro.ingestion.singer.source import TapPages
from kasparro.schemas.ingest import RejectReason
from tap_source import COMMAND, line, record, schema, state, tap_source

pytestmark = pytest.mark.anyio


async def read(declaration, after=None, size=100, environ=None):
    async with aclosing(TapPages(declaration, size, environ).pages(after)) as pages:
        return [page async for page in pages]


def payloads(pages):
    return [json.loads(one.payload) for page in pages for one in page.records]


def scripted(folder, *script, **keys):
    config = {"script": list(script)} | {
        key: keys.pop(key) for key in ("then", "say", "children", "half_a_line") if key in keys
    }
    return tap_source(folder, config=config, **keys)


async def failure(declaration):
    """Why the tap failed, and the pages that came before."""
    pages = []
    with pytest.raises(TapFailed) as failed:  # noqa: PT012  # it is raised while they come
        async with aclosing(TapPages(declaration, 100).pages(None)) as reading:
            async for page in reading:
                pages.append(page)  # noqa: PERF401  # a comprehension would lose them
    return failed.value, pages


def is_gone(pid):
    """A process that has ended counts as gone, whether or not somebody has looked at how."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill_when_it_reads(program):
    """Run *program*, and kill it as soon as it says that it reads."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as starter:
        assert starter.stdout.readline() == b"there\n"
        starter.send_signal(signal.SIGKILL)


async def all_gone(pids):
    left = [int(pid) for pid in pids.read_text().split()]
    async with asyncio.timeout(30):
        while not all(map(is_gone, left)):  # noqa: ASYNC110  # the kernel tells nobody but their parents
            await asyncio.sleep(0.02)
    return True


async def test_a_state_covers_the_records_before_it_and_no_page_claims_more(tmp_path):
    declaration = scripted(
        tmp_path,
        schema(),
        record(id=1),
        record(id=2),
        state({"at": 2}),
        record(id=3),
        record(id=4),
        record(id=5),
    )

    pages = await read(declaration, size=2)

    assert [len(page.records) for page in pages] == [2, 3]
    assert [json.loads(page.cursor["state"]) for page in pages] == [{"at": 2}, {"at": 2}]
    assert [page.last for page in pages] == [False, True]


async def test_the_state_goes_back_to_the_tap_as_it_came(tmp_path):
    records = [{"id": n, "name": f"user {n}"} for n in range(6)]
    declaration = tap_source(tmp_path, config={"streams": {"users": records}, "state_every": 2})

    first = (await read(declaration, size=2))[0]
    rest = await read(declaration, after=first.cursor)

    assert first.cursor == {"state": '{"bookmarks": {"users": 2}}'}
    assert payloads([first]) + payloads(rest) == records


async def test_a_tap_without_a_state_is_read_from_the_beginning_each_time(tmp_path):
    pages = await read(scripted(tmp_path, schema(), record(id=1)))

    assert [(page.cursor, page.last) for page in pages] == [(None, True)]


async def test_a_tap_that_has_nothing_new_keeps_its_state(tmp_path):
    pages = await read(scripted(tmp_path, schema()), after={"state": '{"at": 7}'})

    assert [(len(page.records), page.cursor) for page in pages] == [(0, {"state": '{"at": 7}'})]


async def test_records_say_where_they_come_from_and_what_identifies_them(tmp_path):
    (page,) = await read(scripted(tmp_path, schema("users", "a", "b"), record(a=1, b=2)))

    assert (str(page.records[0].origin), page.records[0].key) == ("users record 2", ("a", "b"))


async def test_one_record_that_is_no_json_is_one_reject(tmp_path):
    bad = '{"type": "RECORD", "stream": "users", "record": {"id": NaN}}'
    (page,) = await read(scripted(tmp_path, schema(), record(id=1), bad, "", record(id=2)))

    assert payloads([page]) == [{"id": 1}, {"id": 2}]
    assert [(one.reason, str(one.origin)) for one in page.rejects] == [
        (RejectReason.INVALID_JSON, "users record 3")
    ]


async def test_streams_that_were_not_asked_for_are_left_out(tmp_path):
    (page,) = await read(
        scripted(tmp_path, record("users", id=1), record("orders", id=2), streams=["orders"])
    )

    assert payloads([page]) == [{"id": 2}]


async def test_the_tap_is_asked_for_its_catalog_and_given_the_streams_that_are_wanted(tmp_path):
    config = {"streams": {"users": [{"id": 1}], "orders": [{"id": 2}]}}

    everything = await read(tap_source(tmp_path, config=config, catalog="discover"))
    orders = await read(tap_source(tmp_path, config=config, catalog="discover", streams="orders"))

    assert payloads(everything) == [{"id": 1}, {"id": 2}]
    assert payloads(orders) == [{"id": 2}]


async def test_a_stream_that_the_tap_does_not_have_is_told_with_those_it_has(tmp_path):
    config = {"streams": {"users": [], "orders": []}}

    error, _ = await failure(tap_source(tmp_path, config=config, catalog="discover", streams=["order"]))

    assert "no stream order" in str(error)
    assert "orders, users" in str(error)


@pytest.mark.parametrize("given", ["inline", "file"])
async def test_a_catalog_can_be_given(tmp_path, given):
    chosen = {"stream": "users", "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}]}
    other = {"stream": "orders", "metadata": [{"breadcrumb": [], "metadata": {}}]}
    catalog = {"streams": [chosen, other]}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    config = {"streams": {"users": [{"id": 1}], "orders": [{"id": 2}]}}

    pages = await read(
        tap_source(tmp_path, config=config, catalog=catalog if given == "inline" else "catalog.json")
    )

    assert payloads(pages) == [{"id": 1}]


@pytest.mark.parametrize(("then", "how"), [("exit 3", "exit code 3"), ("crash", "signal 11")])
async def test_a_tap_that_fails_has_its_last_words_in_the_error_and_its_records_handed_on(
    tmp_path, then, how
):
    script = [schema(), record(id=1), state(1), record(id=2)]

    error, pages = await failure(scripted(tmp_path, *script, then=then, say=["first", "cannot log in"]))

    assert how in str(error)
    assert "first | cannot log in" in str(error)
    assert payloads(pages) == [{"id": 1}, {"id": 2}]
    assert [page.cursor for page in pages] == [{"state": "1"}]


@pytest.mark.parametrize(
    ("then", "said"),
    [("crash", "signal 11"), ("exit 3", "exit code 3"), ("exit 0", "line 4 of the tap is not JSON")],
)
async def test_a_tap_that_dies_in_the_middle_of_a_line_is_told_as_dead(tmp_path, then, said):
    """Standard output is a buffer: who is killed leaves half a line. Of one that ends well it is the line that is wrong."""
    script = [schema(), record(id=1), state(1)]

    error, pages = await failure(
        scripted(tmp_path, *script, half_a_line='{"type": "RECO', then=then, say=["oh"])
    )

    assert said in str(error)
    assert ("it said: oh" in str(error)) is (then != "exit 0")
    assert payloads(pages) == [{"id": 1}]


async def test_a_line_that_is_no_message_ends_the_run_and_is_told_by_its_number(tmp_path):
    error, pages = await failure(scripted(tmp_path, schema(), record(id=1), "INFO hello", record(id=2)))

    assert "line 3 of the tap is not JSON" in str(error)
    assert "INFO hello" in str(error)
    assert payloads(pages) == [{"id": 1}]


async def test_a_tap_that_is_not_there_is_told(tmp_path):
    error, _ = await failure(tap_source(tmp_path, command=["no-such-tap-anywhere"]))

    assert "cannot be started: No such file" in str(error)
    assert "Install it" in str(error)


async def test_a_tap_that_falls_silent_is_ended(tmp_path):
    (tmp_path / "said").write_text(record(id=1) + "\n")
    falls_silent = ["sh", "-c", "cat said; exec sleep 600", "tap"]

    error, pages = await failure(tap_source(tmp_path, command=falls_silent, timeout="6s"))

    assert "has written nothing for 6 s" in str(error)
    assert payloads(pages) == [{"id": 1}]


async def test_what_the_tap_has_started_goes_with_it(tmp_path):
    children = tmp_path / "pids"
    declaration = scripted(tmp_path, schema(), record(id=1), state(1), then="hang", children=str(children))
    pages = TapPages(declaration, 1).pages(None)
    await anext(pages)
    await pages.aclose()

    assert await all_gone(children)


async def test_a_child_that_outlives_the_tap_holds_nothing_up(tmp_path):
    children = tmp_path / "pids"
    pages = await read(scripted(tmp_path, schema(), record(id=1), children=str(children)))

    assert payloads(pages) == [{"id": 1}]
    assert await all_gone(children)


async def test_nothing_is_left_of_a_tap_whose_starter_was_killed(tmp_path):
    """Neither its processes nor the file with its secrets."""
    report, children = tmp_path / "report.json", tmp_path / "pids"
    config = {
        "script": [schema(), record(id=1), state(1)],
        "then": "hang",
        "report": str(report),
        "children": str(children),
    }
    program = (
        "import asyncio, pathlib, sys\n"
        "from tap_source import tap_source\n"
        "from kasparro.ingestion.singer.source import TapPages\n"
        "async def main():\n"
        f"    pages = TapPages(tap_source(pathlib.Path({str(tmp_path)!r}), config={config!r}), 1).pages(None)\n"
        "    await anext(pages)\n"
        "    print('there', flush=True)\n"
        "    await anext(pages)\n"
        "asyncio.run(main())\n"
    )
    kill_when_it_reads(program)

    folder = Path(json.loads(report.read_text())["config"]).parent
    assert await all_gone(children)
    assert not folder.exists()


async def test_the_config_is_a_private_file_that_is_gone_afterwards(tmp_path):
    report = tmp_path / "report.json"
    await read(tap_source(tmp_path, config={"streams": {}, "report": str(report)}))

    seen = json.loads(report.read_text())
    assert seen["mode"] == "0o600"
    assert not Path(seen["config"]).parent.exists()


async def test_a_tap_sees_only_the_variables_it_was_promised(tmp_path):
    report = tmp_path / "report.json"
    environ = {"PATH": os.environ["PATH"], "TAP_REGION": "eu", "DATABASE_URL": "postgresql://me:pw@h/d"}
    declaration = tap_source(
        tmp_path, config={"streams": {}, "report": str(report)}, env=["TAP_REGION", "NOT_SET"]
    )

    await read(declaration, environ=environ)

    seen = json.loads(report.read_text())["environment"]
    assert seen["TAP_REGION"] == "eu"
    assert {"DATABASE_URL", "NOT_SET"}.isdisjoint(seen)


async def test_secrets_are_taken_out_of_what_the_tap_says(tmp_path):
    declaration = scripted(
        tmp_path, "hunter2hunter2", say=["the password hunter2hunter2 is wrong"], secrets=["hunter2hunter2"]
    )

    error, _ = await failure(declaration)

    assert "hunter2" not in str(error)


async def test_a_state_with_a_secret_in_it_is_not_stored(tmp_path):
    declaration = scripted(tmp_path, schema(), state({"token": "hunter2hunter2"}), secrets=["hunter2hunter2"])

    error, pages = await failure(declaration)

    assert "contains a secret" in str(error)
    assert "hunter2" not in str(error)
    assert pages == []


async def test_a_line_without_end_is_refused(tmp_path):
    endless = "import sys\nwhile True: sys.stdout.write('x' * (1 << 20))"

    error, _ = await failure(tap_source(tmp_path, command=[sys.executable, "-c", endless]))

    assert "a line of more than 64 MiB" in str(error)


async def test_a_slow_tap_is_read_as_it_writes(tmp_path):
    """A page does not wait to be full when the tap has fallen silent."""
    pages = TapPages(scripted(tmp_path, schema(), record(id=1), then="hang"), 100).pages(None)
    page = await anext(pages)
    await pages.aclose()

    assert payloads([page]) == [{"id": 1}]


async def test_a_replaced_table_is_told_and_nothing_is_deleted(tmp_path):
    pages = await read(tap_source(tmp_path, config={"streams": {"users": [{"id": 1}]}, "versions": True}))

    assert payloads(pages) == [{"id": 1}]


def test_the_command_of_the_fixture_is_a_program_of_its_own():
    assert COMMAND[0] == sys.executable
    assert line(a=1) == '{"a": 1}'
