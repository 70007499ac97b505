from __future__ import annotations

import pytest

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.envelope import open_envelope
from kasparro.ingestion.sources.selector import compile_selector


def described() -> str:
    return "text/plain: ..."


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b" [1] ", [b"1"]),
        (b'{"items": [1], "data": [2], "results": [3]}', [b"3"]),
        (b'{"items": [1], "data": {"results": [2]}}', [b"1"]),
        (b'{"results": 7, "data": []}', []),
    ],
)
def test_records_are_found_where_they_usually_are(body, found):
    assert open_envelope(body, None, described).elements == found


@pytest.mark.parametrize(
    ("body", "total"),
    [
        (b'{"items": [1], "total": 5}', 5),
        (b'{"items": [1], "total_count": 5, "count": 1}', 5),
        (b'{"items": [1], "count": 5}', 5),
        (b'{"items": [1], "count": 1}', None),
        (b'{"items": [1], "meta": {"total": 0}}', 0),
        (b'{"items": [1], "total": "5"}', 5),
        (b'{"items": [1], "total": -1}', None),
        (b'{"items": [1], "total": null}', None),
        (b"[1]", None),
    ],
)
def test_a_total_is_taken_where_the_answer_says_so(body, total):
    assert open_envelope(body, None, described).total == total


def test_an_error_names_the_keys_and_suggests_one_that_holds_a_list():
    with pytest.raises(UnexpectedContent, match=r"its keys are ok, hits;.*records: hits"):
        open_envelope(b'{"ok": 1, "hits": []}', None, described)


def test_many_keys_are_not_all_named():
    body = b"{%s}" % b",".join(b'"k%d": 1' % number for number in range(100))
    with pytest.raises(UnexpectedContent, match=r"k19, \.\.\.;"):
        open_envelope(body, compile_selector("rows"), described)
