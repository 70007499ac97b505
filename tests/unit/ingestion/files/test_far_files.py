"""Files that come block by block or as one stream give the same bytes wherever they are read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import TransientSourceError, TruncatedContent, UnexpectedContent
from kasparro.ingestion.files.ranged import RangedFile
from kasparro.ingestion.files.streamed import KEPT, StreamedFile

CONTENT = bytes(range(256)) * 24_000  # 6 MB: longer than what is kept of a stream
STEPS = st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(1, 3_000_000)), max_size=6)


class Stream:
    """What a stream gives, piece by piece; breaks once at each of *breaks*."""

    def __init__(self, breaks: list[int] | None = None) -> None:
        self.openings = 1
        self._breaks = sorted(breaks or [])
        self._at = 0

    def read(self, length: int) -> bytes:
        if self._breaks and self._at >= self._breaks[0]:
            self._breaks.pop(0)
            raise TruncatedContent
        piece = CONTENT[self._at : self._at + min(length, 100_000)]
        self._at += len(piece)
        return piece

    def reopen(self) -> None:
        self.openings += 1
        self._at = 0


def streamed(stream: Stream, reopenings: int = 0) -> io.BufferedReader:
    return io.BufferedReader(StreamedFile(len(CONTENT), stream.read, stream.reopen, reopenings))


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_stream_can_be_read_anywhere(steps: list[tuple[int, int]]) -> None:
    file = streamed(Stream())
    for offset, length in steps:
        file.seek(offset)
        assert file.read(length) == CONTENT[offset : offset + length]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, len(CONTENT) - 1), max_size=4))
def test_a_stream_that_breaks_goes_on_where_it_broke(breaks: list[int]) -> None:
    assert streamed(Stream(breaks), len(breaks)).read() == CONTENT
    if breaks:
        with pytest.raises(TransientSourceError):
            streamed(Stream(breaks), len(breaks) - 1).read()


def test_neither_the_beginning_nor_the_last_piece_is_asked_for_again() -> None:
    stream = Stream()
    file = StreamedFile(len(CONTENT), stream.read, stream.reopen, 0)
    while file.read(100_000):
        if file.tell() > KEPT + 500_000:
            break
    here = file.tell()
    file.seek(10)
    assert file.read(10) == CONTENT[10:20]
    file.seek(here - 50)
    assert file.read(10) == CONTENT[here - 50 : here - 40]
    assert stream.openings == 1
    file.seek(here - 200_000)
    assert file.read(10) == CONTENT[here - 200_000 : here - 199_990]
    assert stream.openings == 2


def test_the_end_of_a_stream_is_where_its_size_says() -> None:
    stream = Stream()
    file = StreamedFile(len(CONTENT), stream.read, stream.reopen, 0)
    file.seek(-3, io.SEEK_END)
    assert file.read(10) == CONTENT[-3:]
    with pytest.raises(UnexpectedContent, match="Content-Length"):
        StreamedFile(None, stream.read, stream.reopen, 0).seek(0, io.SEEK_END)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(0, 2_000_000))
def test_a_file_in_ranges_can_be_read_anywhere(steps: list[tuple[int, int]], head: int) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, length: int) -> bytes:
        asked.append((start, length))
        return CONTENT[start : start + length]

    file = io.BufferedReader(RangedFile(len(CONTENT), fetch, CONTENT[:head]))
    for offset, length in steps:
        file.seek(offset)
        assert file.read(length) == CONTENT[offset : offset + length]
    assert all(0 <= start < start + length <= len(CONTENT) for start, length in asked)
    assert all(length <= 8 * 1024 * 1024 for _, length in asked)
