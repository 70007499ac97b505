"""Equal rejects of files get numbers in their order; what has an identity, or comes from elsewhere, gets none."""

from __future__ import annotations

from dataclasses import replace

from kasparro.ingestion.alike import AlikeRejects
from kasparro.schemas.ingest import ApiOrigin, FileOrigin, Reject, RejectReason

BAD = Reject(b'"1,2,3"', FileOrigin("a.csv", 0, 6, 1), RejectReason.RAGGED_ROW, "too many")


def repeats(rejects: list[Reject]) -> list[int]:
    return [reject.repeat for reject in rejects]


def test_equal_rejects_are_numbered_across_batches() -> None:
    alike = AlikeRejects()
    other = replace(BAD, payload=b'"4"')
    assert repeats(alike.numbered([BAD, other, BAD])) == [0, 0, 1]
    assert repeats(alike.numbered([BAD, other])) == [2, 1]


def test_a_reject_that_is_known_by_more_than_its_content_has_no_number() -> None:
    alike = AlikeRejects()
    named = replace(BAD, external_id="7")
    received = replace(BAD, origin=ApiOrigin("https://example.org", 1, 0))
    assert repeats(alike.numbered([named, named, received, received])) == [0] * 4


def test_beyond_the_most_that_are_remembered_equal_rejects_are_one() -> None:
    alike = AlikeRejects(most=1)
    other = replace(BAD, payload=b'"4"')
    assert repeats(alike.numbered([BAD, other, other, BAD])) == [0, 0, 0, 1]
