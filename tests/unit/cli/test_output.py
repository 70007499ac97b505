import json
from datetime import UTC, datetime

from kasparro.cli.output import numeric, print_json, print_line, print_table, print_texts, shown, textual
from kasparro.schemas.data import QueuedRun


def test_a_table_cuts_nothing_that_does_not_go_to_a_terminal(capsys):
    print_table([*textual("name"), *numeric("n")], [("x" * 500, 1234567)])

    assert f"{'x' * 500}  1,234,567" in capsys.readouterr().out


def test_text_from_outside_cannot_speak_to_the_terminal(capsys):
    print_table(textual("name"), [("\x1b[2J[bold]a\nb",)])
    print_line("\x1b]0;title\x07")
    print_texts(["both"], [("one\ntwo\x1b[2J",)])

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\\x1b[2J[bold]a\\nb" in printed
    assert "one\n" in printed


def test_json_is_one_document_of_plain_values(capsys):
    print_json([QueuedRun(source="a", run_id="run_a_1"), {"at": datetime(2026, 1, 2, tzinfo=UTC)}])

    assert json.loads(capsys.readouterr().out) == [
        {"source": "a", "run_id": "run_a_1"},
        {"at": "2026-01-02 00:00:00+00:00"},
    ]


def test_what_is_absent_is_a_dash():
    assert [shown(value) for value in (None, "", 0, False, 1234.5)] == ["-", "-", "0", "no", "1234.5"]
