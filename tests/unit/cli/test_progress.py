import io

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from kasparro.cli.progress import Bars, log_event
from kasparro.schemas.events import BatchCommitted, PageFetched, RunEnded, RunStarted
from kasparro.schemas.ingest import RunCounters, RunReport, RunStatus


def events(status=RunStatus.SUCCESS, total=10, total_size=None):
    counters = RunCounters(inserted=4, failed=1)
    return [
        RunStarted("airports", "run_airports_1", resumed=False),
        PageFetched("airports", 5, 1000, total, total_size),
        BatchCommitted("airports", "run_airports_1", counters),
        RunEnded(
            RunReport(
                "run_airports_1",
                "airports",
                status,
                counters,
                1234,
                "it broke" if status == "failed" else None,
                "source",
            )
        ),
    ]


def shown_after(shown):
    screen = io.StringIO()
    with Bars(
        ["airports", "other"], Console(file=screen, width=200, force_terminal=True, color_system=None)
    ) as bars:
        for event in shown:
            bars.show(event)
    return screen.getvalue().rpartition("airports")[2]


def test_a_line_shows_records_bytes_and_what_is_committed():
    line = shown_after(events()[:3])

    assert "5 records" in line
    assert "1.0 kB" in line
    assert "5 committed" in line


@pytest.mark.parametrize("status", [RunStatus.SUCCESS, RunStatus.PARTIAL, RunStatus.FAILED])
def test_a_line_ends_with_the_status_of_its_run(status):
    assert status.value in shown_after(events(status))


def test_where_only_the_bytes_are_known_the_total_is_estimated_from_them():
    bars = Bars(["airports"], Console(file=io.StringIO()))
    for event in events(total=None, total_size=4000)[:2]:
        bars.show(event)

    (task,) = bars._progress.tasks

    assert (task.completed, task.total) == (5, 20)


def test_a_run_is_logged_by_its_beginning_and_its_end():
    with capture_logs() as logged:
        for event in events(RunStatus.PARTIAL):
            log_event(event)

    begun, ended = (entry for entry in logged if entry["log_level"] != "debug")
    assert (begun["event"], begun["source"], begun["resumed"]) == ("run.started", "airports", False)
    assert (ended["event"], ended["status"], ended["records_processed"], ended["records_failed"]) == (
        "run.ended",
        "partial",
        5,
        1,
    )


def test_a_failed_run_is_logged_as_an_error_with_its_reason():
    with capture_logs() as logged:
        log_event(events(RunStatus.FAILED)[-1])

    assert [(entry["log_level"], entry["reason"]) for entry in logged] == [("error", "it broke")]
