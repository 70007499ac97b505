import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kasparro.core.etl_config import ApiSource
from kasparro.schemas.ingest import ApiOrigin, Keyed, Landed, RawRecord, Reject, RejectReason
from kasparro.services.check_steps import Outcome
from kasparro.services.network_check import certified, network_steps
from kasparro.services.preview import Preview
from kasparro.services.sample_check import sample_steps
from kasparro.services.seen import Mark, Seen

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = ApiOrigin("http://h.example/items", 1, 0)
SOURCE = ApiSource(name="things", url="http://h.example/items")


def certificate(days):
    until = NOW + timedelta(days=days, hours=1)
    issuer = ((("countryName", "NO"),), (("organizationName", "An Authority"),))
    return {"issuer": issuer, "notAfter": f"{until:%b %d %H:%M:%S %Y} GMT"}


@pytest.mark.parametrize(("days", "outcome"), [(400, Outcome.OK), (3, Outcome.WARN)])
def test_a_certificate_tells_its_issuer_and_its_end(days, outcome):
    step = certified(certificate(days), "TLSv1.3", NOW)

    assert step.outcome is outcome
    assert "TLSv1.3, issued by An Authority, valid until" in step.detail
    assert f"({days} days)" in step.detail
    assert (step.hint is None) == (outcome is Outcome.OK)


@pytest.mark.anyio
async def test_a_port_that_is_closed_ends_the_steps(anyio_backend):
    steps = [step async for step in network_steps("https://127.0.0.1:1/x", 5, credential=True)]

    assert [(step.step, step.outcome) for step in steps] == [
        ("name resolution", Outcome.OK),
        ("connection", Outcome.FAIL),
    ]
    assert steps[-1].hint


def preview(record=None, reason=None, field=None):
    reject = reason and Reject(b"{}", ORIGIN, reason, "why", field)
    empty = dict.fromkeys(("title", "description", "content", "author", "published_at", "url", "category"))
    return Preview(b"{}", None if record is None else json.dumps(empty | record).encode(), reject)


def test_an_empty_page_has_nothing_to_be_looked_at():
    assert [step.outcome for step in sample_steps(SOURCE, [])] == [Outcome.SKIPPED] * 2


def test_identities_and_filled_fields_are_told():
    found = [preview({"source_id": "1", "title": "a"}), preview({"source_id": "2", "title": "b", "url": "u"})]

    identity, mapping = sample_steps(SOURCE, found)

    assert (identity.outcome, identity.detail) == (Outcome.OK, "key id: 1, 2")
    assert mapping.detail.startswith("title 2/2, url 1/2; empty: ")


@pytest.mark.parametrize(("path", "outcome"), [("at", Outcome.OK), ("att", Outcome.WARN)])
def test_a_path_to_ignore_that_no_record_has_is_a_warning(path, outcome):
    ignoring = SOURCE.model_copy(update={"ignore_changes": (path,)})
    found = [replace(preview({"source_id": "1", "title": "a"}), raw=b'{"id": 1, "at": 2}')]

    *_, changes = sample_steps(ignoring, found)

    assert (changes.step, changes.outcome) == ("changes", outcome)
    assert path in changes.detail


@pytest.mark.parametrize(("good", "outcome"), [(1, Outcome.WARN), (0, Outcome.FAIL)])
def test_rejects_are_a_warning_as_long_as_something_fits(good, outcome):
    bad = [
        preview(reason=RejectReason.NO_IDENTITY),
        preview(reason=RejectReason.INVALID_TIME, field="published_at"),
    ]

    nameless, _ = sample_steps(SOURCE, [preview({"source_id": "1", "title": "a"})] * good + bad[:1])
    _, unfit = sample_steps(SOURCE, [preview({"source_id": "1", "title": "a"})] * good + bad[1:])

    assert (nameless.outcome, unfit.outcome) == (outcome, outcome)
    assert "no_identity 1" in nameless.detail
    assert "in published_at: why" in unfit.detail


def test_what_was_seen_is_remembered_by_its_latest_version():
    seen = Seen()

    def landed(key, digest, data):
        return Landed(Keyed(key, digest, RawRecord(b"{}", ORIGIN)), data)

    seen.note([landed("a", b"1", b"{}"), landed("b", b"1", None)])
    seen.note([landed("a", b"2", None)])

    assert seen.marks(["x", "b", "a"]) == {1: Mark(b"1", processed=False), 2: Mark(b"2", processed=False)}
    seen.close()
