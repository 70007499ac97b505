import json
import logging
import os
import sys
import threading
import warnings
from pathlib import Path

import pytest
import structlog

from cli_process import logging_put_back
from kasparro.core.logging_config import configure_logging


@pytest.fixture(autouse=True)
def logging_as_before():
    with warnings.catch_warnings(), logging_put_back():
        yield


@pytest.fixture
def lines(capsys):
    def read():
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()

    return read


@pytest.fixture
def events(lines):
    return lambda: [json.loads(line) for line in lines()]


def test_a_line_has_time_level_event_logger_and_what_is_bound(events):
    configure_logging("INFO", "json")
    structlog.contextvars.bind_contextvars(run_id="run_a_1", source="a", request_id="r1")

    structlog.get_logger("kasparro.here").info("run.started", resumed=False)

    (event,) = events()
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "event": "run.started",
        "logger": "kasparro.here",
        "run_id": "run_a_1",
        "source": "a",
        "request_id": "r1",
        "resumed": False,
    }


def test_the_standard_library_logs_through_the_same_pipeline(events):
    configure_logging("INFO", "json")

    logging.getLogger("some.library").warning("password=%s", "hunter2")

    (event,) = events()
    assert (event["event"], event["logger"], event["level"]) == ("password=***", "some.library", "warning")


def test_what_is_not_a_terminal_gets_json(events):
    configure_logging()

    structlog.get_logger().info("hello")

    assert [event["event"] for event in events()] == ["hello"]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "hostile", ["a\nb", "a\r\n2026 error fake", "\x1b[2Jgone", "a\u2028b", "a\x85b", "nul\0", "x" * 1_000_000]
)
def test_an_event_is_one_line_whatever_is_in_it(lines, log_format, hostile):
    configure_logging("INFO", log_format)

    structlog.get_logger().info(hostile, value=hostile, **{hostile[:20]: 1})

    (line,) = lines()
    assert line.isprintable()
    assert len(line) < 20_000


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_in_the_line_of_its_event_without_its_secrets(lines, log_format):
    configure_logging("INFO", log_format)

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines()
    assert "ValueError" in line
    assert "test_logging_config.py" in line
    assert "hunter2" not in line


def fail():
    raise ValueError("no connection to postgresql://me:hunter2@db/x\nsecond line")


def test_secrets_are_masked_in_every_part_of_an_event(lines):
    configure_logging("INFO", "json")

    structlog.get_logger().info(
        "GET https://host/?api_key=hunter2",
        url="https://me:hunter2@host/",
        headers={"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2"},
        error=ValueError("password=hunter2"),
        token="hunter2",
    )

    (line,) = lines()
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "library",
    [
        "uvicorn.error",
        "uvicorn.access",
        "sqlalchemy.engine",
        "procrastinate.worker",
        "aiohttp.access",
        "alembic.runtime",
    ],
)
def test_libraries_speak_up_only_for_warnings(lines, library):
    configure_logging("INFO", "json")

    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("trouble")

    assert ["trouble" in line for line in lines()] == [True]


def test_at_debug_libraries_are_heard_and_rows_are_not(lines):
    configure_logging("DEBUG", "json")

    logging.getLogger("uvicorn.error").debug("detail")
    logging.getLogger("sqlalchemy.engine").debug("Row ('a record')")

    assert ["detail" in line for line in lines()] == [True]


def test_below_the_level_nothing_is_written(lines):
    configure_logging("ERROR", "json")

    structlog.get_logger().warning("quiet")
    logging.getLogger("uvicorn.error").warning("quiet")

    assert lines() == []


def test_warnings_and_failing_threads_are_events_too(events):
    configure_logging("INFO", "json")

    warnings.simplefilter("always")
    warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    first, second = events()
    assert first["logger"] == "py.warnings"
    assert "ZeroDivisionError" in second["exception"]


def test_configuring_twice_writes_once(lines):
    configure_logging("INFO", "json")
    configure_logging("INFO", "json")

    structlog.get_logger().info("once")

    assert len(lines()) == 1


def test_numbers_too_large_to_print_do_not_break_the_log(lines):
    configure_logging("INFO", "json")

    structlog.get_logger().info("big", number=10**5000)

    assert "very large" in lines()[0]


def test_a_closed_stderr_ends_nothing(monkeypatch):
    configure_logging("INFO", "json")
    with Path(os.devnull).open("w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)

    structlog.get_logger().info("into the void")
