from __future__ import annotations

import pytest

from kasparro.core.errors import PaginationLoop
from kasparro.ingestion.sources.loops import MOST_EMPTY, LoopWatch
from kasparro.ingestion.sources.places import Place


def test_a_place_may_be_entered_once():
    watch = LoopWatch()
    for at in (None, "None", "1", 1):
        watch.enter(Place(at))
    with pytest.raises(PaginationLoop):
        watch.enter(Place("1", ordinal=5))


def test_a_page_must_differ_from_the_one_before():
    watch = LoopWatch()
    for elements in ([b"1", b"2"], [b"12"], [b"1"], [b"12"]):
        watch.see(Place(1), elements)
    with pytest.raises(PaginationLoop):
        watch.see(Place(2), [b"12"])


def test_a_page_that_is_the_same_after_empty_ones_is_a_loop_and_empty_ones_are_not():
    watch = LoopWatch()
    watch.see(Place(1), [b"1"])
    for _ in range(MOST_EMPTY):
        watch.see(Place(2), [])
    with pytest.raises(PaginationLoop, match="in a row are empty"):
        watch.see(Place(3), [])
    with pytest.raises(PaginationLoop, match="same records"):
        watch.see(Place(3), [b"1"])
