import logging

from kasparro.core.log_flood import MOST_KINDS, OncePerSecond


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), None)


def test_of_many_lines_of_a_kind_one_a_second_passes_and_tells_of_the_others():
    now = 0.0
    quiet = OncePerSecond(lambda: now)
    passed = []
    for _ in range(3):
        for _ in range(1000):
            line = record("socket.accept() out of system resource\nsocket: <socket 7>")
            if quiet.filter(line):
                passed.append(line.msg)
        now += 1

    assert len(passed) == 3
    assert passed[0].endswith("<socket 7>")
    assert passed[1].endswith("(999 more like this before)")


def test_other_kinds_are_not_held_back():
    quiet = OncePerSecond(lambda: 0.0)

    assert [quiet.filter(record(text)) for text in ("a", "b", "a", "b")] == [True, True, False, False]


def test_kinds_without_end_do_not_fill_the_memory():
    quiet = OncePerSecond(lambda: 0.0)
    for number in range(10 * MOST_KINDS):
        quiet.filter(record(f"kind {number}"))

    assert len(quiet._passed) <= MOST_KINDS
