from __future__ import annotations

import pytest

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.page_digest import Contents, PageDigest
from kasparro.schemas.ingest import RejectReason


def digest_of(*key):
    return PageDigest(ApiSource(name="things", url="http://test/", key=key or None))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([b'{"id":1,"at":5}', b'{"id":2}'], [b'{"id":1,"at":6}', b'{"id":2}'], True),
        ([b'{"id":1}'], [b'{"id":1,"at":6}'], True),
        ([b'{"id":1,"at":5}', b'{"id":2}', b'{"id":3}'], [b'{"id":3}', b'{"id":1,"at":6}', b'{"id":2}'], True),
        ([b'{"id":1}', b'{"id":2}'], [b'{"id":1}', b'{"id":9}', b'{"id":2}'], False),
        ([b'{"id":1}', b'{"id":9}', b'{"id":2}'], [b'{"id":1}', b'{"id":8}', b'{"id":2}'], False),
        ([b'{"id":1}', b'{"id":2}'], [b'{"id":1}', b'{"id":3}'], False),
        # A key that comes twice in a page, or none, does not tell records apart: then the texts count.
        ([b'{"id":1,"at":5}', b'{"id":1}'], [b'{"id":1,"at":6}', b'{"id":1}'], False),
        ([b'{"at":5}', b'{"id":2}'], [b'{"at":6}', b'{"id":2}'], False),
        ([b'{"at":5}', b'{"id":2}'], [b'{"id":2}', b'{"at":5}'], True),
        ([b"5"], [b"6"], False),
        ([b"5", b"6", b"6"], [b"6", b"5", b"5"], False),
        ([b"[1]", b'"a"'], [b'"a"', b"[1]"], True),
    ],
)  # fmt: skip
def test_a_page_is_known_by_its_keys_in_whatever_order(one, other, same):
    digest = digest_of()
    assert (digest(one) == digest(other)) is same


@pytest.mark.parametrize(
    "key",
    [("a.id",), ("a.id", "b"), ("a.id", "a.b"), ('"@id"', "b"), ("b", "b.c")],
)
def test_keys_of_every_kind_are_read(key):
    digest = digest_of(*key)
    ones = [b'{"a":{"id":%d,"b":1},"b":"x","@id":"%d","at":5}' % (n, n) for n in range(3)]
    again = [text.replace(b"5}", b"6}") for text in reversed(ones)]
    others = [text.replace(b'id":', b'id":9').replace(b'@id":9"', b'@id":"9') for text in ones]
    if key == ("b", "b.c"):  # no value at all
        again = list(reversed(ones))
    assert digest(ones) == digest(again) != digest(others)
    assert digest(ones) != digest(ones[:2])


def test_what_is_no_json_counts_too():
    digest = digest_of()
    flaws = [Flaw(text, RejectReason.INVALID_JSON, "") for text in (b'"NaN"', b'"Infinity"')]
    assert digest([flaws[0]]) != digest([flaws[1]])
    assert digest([flaws[0], b'{"id":1}']) != digest([flaws[1], b'{"id":1}'])


def test_no_records_have_no_digest():
    assert digest_of()([]) is None
    assert Contents().digest() is None


def test_contents_that_come_in_pieces_are_the_same_as_at_once():
    texts, whole, pieces = [b"%d" % n for n in range(9)], Contents(), Contents()
    whole.add(texts)
    for text in reversed(texts):
        pieces.add([text])
    assert whole.digest() == pieces.digest()
