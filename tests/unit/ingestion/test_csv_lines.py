"""Physical lines: every byte in exactly one line, every line end in its line."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.csv.encoding import declared_encoding
from kasparro.ingestion.csv.lines import LineBuffer, LineEnds

ENCODINGS = ["utf-8", "cp1252", "cp037", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
TEXT = st.text(st.sampled_from("a\n\r\u010a\u0d0a\u0a00\u0d00\xe9\x85\u2028\x0b"), max_size=30)


def ends_of(name: str) -> LineEnds:
    return LineEnds(declared_encoding(name, b"", "f"))


def encoded(text: str, name: str) -> bytes:
    return text.encode(name, "ignore")


@given(TEXT, st.sampled_from(ENCODINGS))
def test_lines_are_those_of_the_text(text: str, name: str) -> None:
    run = encoded(text, name)
    expected = list(io.StringIO(run.decode(name), newline=""))
    assert [line.decode(name) for line in ends_of(name).split(run)] == expected


@given(TEXT, st.sampled_from(ENCODINGS))
def test_walking_from_line_to_line_gives_the_same_lines(text: str, name: str) -> None:
    run, ends = encoded(text, name), ends_of(name)
    lines, at = [], 0
    while at < len(run):
        after = ends.after(run, at)
        lines.append(run[at:after])
        at = after
    assert lines == ends.split(run)


@given(TEXT, st.sampled_from(ENCODINGS), st.integers(8, 64), st.integers(1, 50))
def test_runs_are_whole_lines_and_together_the_file(text: str, name: str, size: int, chunk: int) -> None:
    content, ends = encoded(text, name), ends_of(name)
    stream = io.BytesIO(content)
    buffer = LineBuffer(lambda _: stream.read(chunk), ends, 0)
    lines: list[bytes] = []
    while True:
        assert buffer.offset == sum(map(len, lines))
        run, final = buffer.run(size)
        assert len(run) <= size
        if not run and final:
            break
        if not run:
            size *= 2
            continue
        lines += ends.split(run)
        buffer.take(len(run))
    assert lines == ends.split(content)


def test_a_carriage_return_at_the_end_of_a_run_waits_for_its_line_feed() -> None:
    ends = ends_of("utf-8")
    assert ends.last(b"a\r") == 0
    assert ends.last(b"a\rb") == 2
    assert ends.last(b"a\r\nb\r") == 3


@pytest.mark.parametrize("length", [0, 1, 8183, 8184, 8185, 8192, 50_000])
def test_a_line_of_any_length_can_be_skipped(length: int) -> None:
    stream = io.BytesIO(b"x" * length + b"\r\nnext\n")
    buffer = LineBuffer(stream.read, ends_of("utf-8"), 100)
    assert buffer.skip_line(10) == ((b"x" * length + b"\r\n")[:10], length + 2)
    assert buffer.offset == 100 + length + 2
    assert buffer.run(10) == (b"next\n", True)
