from __future__ import annotations

import pytest

from kasparro.core.errors import PaginationLoop
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.sources.loops import MOST_EMPTY, LoopWatch
from kasparro.ingestion.sources.page_digest import PageDigest
from kasparro.ingestion.sources.places import Place

DIGEST = PageDigest(ApiSource(name="things", url="http://test/"))


def seen(watch, *elements, page=1, at="token"):
    return watch.see(Place(at, page), DIGEST(elements))


def test_a_place_may_be_entered_once():
    watch = LoopWatch()
    for at in (None, "None", "1", 1):
        watch.enter(Place(at))
    with pytest.raises(PaginationLoop):
        watch.enter(Place("1", ordinal=5))


def test_pages_that_differ_are_new_however_little_they_differ():
    watch = LoopWatch()
    for elements in ([b"1", b"2"], [b"12"], [b"1"], [b"1", b"2", b"3"], [b"1", b"1"]):
        assert not seen(watch, *elements)


@pytest.mark.parametrize("again", [[b"1"], [b"2"], [b"3"]])
def test_two_pages_in_a_row_that_came_before_anywhere_are_a_circle(again):
    watch = LoopWatch()
    for element in (b"1", b"2", b"3"):
        assert not seen(watch, element)
    assert seen(watch, *again)
    with pytest.raises(PaginationLoop, match="page 5 and the one before hold the same records"):
        seen(watch, b"1", page=5)


def test_one_page_that_came_before_may_be_chance():
    watch = LoopWatch()
    seen(watch, b"1")
    for fresh in range(2, 50):
        assert seen(watch, b"1")
        assert not seen(watch, b"%d" % fresh)


def test_empty_pages_do_not_break_a_circle_and_too_many_are_one():
    watch = LoopWatch()
    seen(watch, b"1")
    assert seen(watch, b"1")
    for _ in range(MOST_EMPTY):
        assert not seen(watch)
    with pytest.raises(PaginationLoop, match="in a row are empty"):
        seen(watch)
    with pytest.raises(PaginationLoop, match="same records"):
        seen(watch, b"1")


def test_of_counted_pages_a_second_empty_one_is_the_end_of_patience():
    watch = LoopWatch()
    assert not seen(watch, at=7)
    with pytest.raises(PaginationLoop, match="2 pages in a row are empty"):
        seen(watch, at=8)
