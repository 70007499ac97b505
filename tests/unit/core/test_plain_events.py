"""Lines that take the short way to stderr are the lines of the pipeline."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from cli_process import logging_put_back
from kasparro.core.logging_config import configure_logging, writes_json_alone
from kasparro.core.plain_events import PlainEvents

VALUES = {"method": "GET", "route": "/data", "status": 200, "duration_ms": 1.25, "code": None}


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    def read() -> list[str]:
        return capsys.readouterr().err.splitlines()

    with warnings.catch_warnings(), logging_put_back():
        yield read


def logged(events: PlainEvents) -> None:
    async def go() -> None:
        events.info("request.served", "r-1", VALUES)
        await asyncio.sleep(0)

    asyncio.run(go())


def test_the_line_is_that_of_the_pipeline(lines):
    configure_logging("INFO", "json")
    assert writes_json_alone()
    logged(PlainEvents("kasparro.test"))
    structlog.get_logger("kasparro.test").info("request.served", request_id="r-1", **VALUES)

    short, long = map(json.loads, lines())
    assert short.pop("time")[:10] == long.pop("time")[:10]
    assert short == long


def test_lines_of_one_moment_are_written_in_their_order(lines):
    configure_logging("INFO", "json")
    events = PlainEvents("kasparro.test")

    async def go() -> None:
        for number in range(5):
            events.info("request.served", f"r-{number}", {})
        await asyncio.sleep(0)

    asyncio.run(go())

    assert [json.loads(line)["request_id"] for line in lines()] == [f"r-{n}" for n in range(5)]


@pytest.mark.parametrize("change", ["console", "level", "listener", "captured"])
def test_where_others_see_lines_they_go_through_the_pipeline(lines, change):
    configure_logging(
        "WARNING" if change == "level" else "INFO", "console" if change == "console" else "json"
    )
    heard = io.StringIO()
    if change == "listener":
        logging.getLogger().addHandler(logging.StreamHandler(heard))
    events = PlainEvents("kasparro.test")
    if change == "captured":
        with capture_logs() as captured:
            logged(events)
        assert [line["event"] for line in captured] == ["request.served"]
        assert lines() == []
        return
    logged(events)

    written = lines()
    assert [("request.served" in line) for line in written] == [True] * (change != "level")
    assert ("request.served" in heard.getvalue()) == (change == "listener")
    if change == "console":
        assert not written[0].startswith("{")
