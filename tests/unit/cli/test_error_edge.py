import logging

import pytest
import typer

from kasparro import __version__
from kasparro.cli.main import main, report
from kasparro.core.errors import ConfigurationError, ConfigurationProblem, DatabaseUnavailable, SourceError


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DatabaseUnavailable("no answer", hint="Start it"), 1, "error: no answer\nhint: Start it\n"),
        (SourceError(), 1, "error: The source did not deliver.\n"),
        (
            ConfigurationError(ConfigurationProblem("unknown key", "kasparro.yaml", 3), "and another"),
            2,
            "error: kasparro.yaml:3: unknown key\nerror: and another\n",
        ),
        (ConfigurationError(), 2, "error: The configuration is not usable.\n"),
    ],
)
def test_our_errors_are_a_message_a_hint_and_an_exit_code(capsys, error, code, expected):
    assert report(error) == code
    assert capsys.readouterr() == ("", expected)


def test_of_errors_that_came_together_each_is_told_and_the_gravest_counts(capsys):
    group = ExceptionGroup(
        "", [DatabaseUnavailable("first"), ExceptionGroup("", [ConfigurationError("second")])]
    )

    assert report(group) == 2
    assert capsys.readouterr().err.splitlines() == ["error: first", "error: second"]


def test_a_defect_is_told_in_a_line_without_a_traceback(capsys):
    with pytest.raises(TypeError) as caught:
        fail()

    assert report(caught.value) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: a defect in Kasparro: TypeError: password=***")
    assert "(test_error_edge.py:" in shown
    assert "Traceback" not in shown
    assert "\x1b" not in shown


def fail():
    raise TypeError("password=hunter2\x1b[2J")


def test_at_debug_the_traceback_follows(capsys):
    logger = logging.getLogger("kasparro")
    logger.setLevel(logging.DEBUG)
    try:
        report(DatabaseUnavailable("password=hunter2"))
    finally:
        logger.setLevel(logging.NOTSET)

    assert "DatabaseUnavailable" in (shown := capsys.readouterr().err)
    assert "hunter2" not in shown


def test_wrong_usage_names_the_nearest_command(capsys):
    assert main(["ingets"]) == 2
    assert "Did you mean 'ingest'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["runs", "list", "--limit", "0"], ["runs", "show"], ["up", "--port", "99999"]],
)
def test_wrong_usage_is_exit_code_2(capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kasparro {__version__}\n"


def test_an_exit_code_asked_for_is_kept():
    assert report(typer.BadParameter("no")) == 2
