"""JSON records taken many at once come out as they do one by one: the fast way is only ever faster."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion import identity
from kasparro.ingestion.identity import identifier
from kasparro.ingestion.normalise import normaliser, one_by_one
from kasparro.ingestion.object_mapping import ObjectNormaliser
from kasparro.ingestion.values import are_unsuspicious, check_storable
from kasparro.schemas.ingest import ApiOrigin, Keyed, Landed, RawRecord, Reject

HERE = ApiOrigin("http://x.test/", 1, 1)
FITTING = [{"id": 1, "title": "a", "n": 1.50}, {"id": 2, "title": None, "extra": {"b": [1]}}, {"id": 3}]


def source(**map_):
    return ApiSource.model_validate({"name": "s", "url": "http://x.test/", "map": map_})


def keyed(records) -> list[Keyed]:
    texts = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in records]
    return [Keyed(f"k{number}", b"h" * 16, RawRecord(text, HERE)) for number, text in enumerate(texts)]


def seen(outcome):
    """An outcome to compare: the order of a JSON object's members says nothing, the digits of a number do."""
    return (
        json.loads(outcome.data, parse_float=Decimal, parse_int=Decimal)
        if isinstance(outcome, Landed)
        else outcome
    )


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "2024-01-02T03:04:05Z", "2024-01-02", "nobody", "\0"]),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["login", "b"]), inner)
    ),
    max_leaves=4,
)
names = st.sampled_from(
    ["id", "title", "name", "owner", "created_at", "when", "a.b", "owner.login", "é", "type"]
)
objects = st.one_of(
    st.dictionaries(names, values, max_size=6),
    st.sampled_from(
        [b"3", b"[]", b'{"id": 1e200000}', b'{"id": "\\u0000"}', b'{"id": ' + b"7" * 5000 + b"}"]
    ),
)
maps = st.sampled_from(
    [
        {},
        {"title": "name"},
        {"author": "owner.login", "title": ["name", "owner.login"]},
        {"published_at": "when", "category": {"const": "c"}},
        {"published_at": ["when", "created_at"], "title": {"path": "name", "default": "none"}},
        {"title": "join(' ', [name, type])"},
        {"title": "owner", "url": "owner", "content": "no_such_field"},
    ]
)


@given(st.lists(objects, min_size=1, max_size=30), maps)
def test_records_are_normalised_together_as_they_are_one_by_one(records, map_):
    declaration = source(**map_)
    batch = keyed(records)
    one = one_by_one(declaration)

    assert list(map(seen, normaliser(declaration)(batch))) == [seen(one(record)) for record in batch]


@pytest.mark.parametrize("map_", [{}, {"title": ["name", "title"]}, {"author": "extra.b[0]"}])
def test_records_with_different_fields_go_together(map_):
    assert ObjectNormaliser(source(**map_))(keyed(FITTING)) is not None


def test_one_record_that_does_not_fit_costs_only_itself():
    records = [*FITTING * 20, b'{"id": "\\u0000"}', *FITTING * 20]
    outcomes = normaliser(source())(keyed(records))

    assert [at for at, outcome in enumerate(outcomes) if isinstance(outcome, Reject)] == [60]


@given(st.lists(objects.map(lambda one: one if isinstance(one, bytes) else msgspec.json.encode(one))))
def test_what_is_unsuspicious_is_storable(payloads):
    if are_unsuspicious(payloads):
        for payload in payloads:
            check_storable(payload)


@pytest.mark.parametrize("number", ["1e20000", "1E+20000", "1e-20000", "1.5e0000", "1" * 1000])
def test_a_number_of_unusual_size_is_looked_at(number):
    assert not are_unsuspicious([b'{"a": ' + number.encode() + b"}"])


alike_objects = st.lists(names, unique=True, min_size=1, max_size=5).flatmap(
    lambda chosen: st.lists(st.fixed_dictionaries(dict.fromkeys(chosen, values)), max_size=9)
)
keys = st.sampled_from([None, "id", ["id", "name"], "owner.login", ["owner.login", "id"]])


@given(alike_objects, maps)
def test_records_with_the_same_fields_are_normalised_as_they_are_one_by_one(records, map_):
    declaration = source(**map_)
    batch = keyed(records)
    one = one_by_one(declaration)

    assert list(map(seen, normaliser(declaration)(batch))) == [seen(one(record)) for record in batch]


def test_what_was_not_taken_is_written_in_the_order_of_jsonb_whatever_the_records_are_like():
    alike = [{"long_name": 1, "b": 2.50, "a": None}, {"b": "x", "a": 3, "long_name": []}]
    texts = ObjectNormaliser(source())(keyed(alike))
    mixed = ObjectNormaliser(source())(keyed([*alike, {"bb": 1, "a": 2}]))

    assert texts == mixed[:2]
    assert b'"metadata":{"a":null,"b":2.5,"long_name":1}' in texts[0]
    assert b'"metadata":{"a":2,"bb":1}' in mixed[2]


def texts_of(records) -> list[RawRecord]:
    return [one.raw for one in keyed(records)]


@given(st.one_of(st.lists(objects, max_size=20), alike_objects), keys)
def test_records_are_identified_together_as_they_are_one_by_one(records, key):
    declaration = ApiSource.model_validate({"name": "s", "url": "http://x.test/", "key": key})
    raw, together, alone = texts_of(records), set(), set()
    identify = identity.one_by_one(declaration)

    assert identifier(declaration)(raw, together.add) == [identify(record, alone.add) for record in raw]
    assert set(map(frozenset, together)) == set(map(frozenset, alone))


@pytest.mark.parametrize(
    "cut", [b'{"id":1},{"id":2}', b'{"id":1', b'"id":1}', b"", b"{}{}", b"null", b"\xff"]
)
def test_a_text_that_is_not_one_object_is_one_reject_whatever_stands_beside_it(cut):
    payloads = [b'{"id":3}', cut, b'{"id":4}']
    outcomes = identifier(source())([RawRecord(payload, HERE) for payload in payloads])

    assert [isinstance(one, Reject) for one in outcomes] == [False, True, False]


def test_a_field_that_comes_twice_counts_as_it_does_alone():
    payloads = [b'{"id":1,"name":"a","id":2}', b'{"name":"b","id":3}']
    (first, second) = identifier(source())([RawRecord(payload, HERE) for payload in payloads])
    (alone,) = identifier(source())([RawRecord(payloads[0], HERE)])

    assert (first.external_id, second.external_id) == ("2", "3")
    assert first == alone


@pytest.mark.parametrize(
    "second",
    [
        *(b'{"id":true}', b'{"id":null}', b'{"id":""}', b'{"id":"\\u0000"}', b'{"id":{}}', b'{"id":2.50}'),
        *(b'{"id":"a|b"}', b'{"id":2,"more":[1.50]}', b"{}", b'{"more":1}', b'{"id":' + b"7" * 5000 + b"}"),
    ],
)
def test_one_that_is_unlike_the_first_is_what_it_is_alone(second):
    raw = [RawRecord(payload, HERE) for payload in (b'{"id":1}', second, b'{"id":3}')]
    alone, noted, expected = identity.one_by_one(source()), set(), set()

    found = identifier(source())(raw, noted.add)
    assert found == [alone(record, expected.add) for record in raw]
    assert noted == expected
    batch = [one for one in found if isinstance(one, Keyed)]
    assert list(map(seen, normaliser(source())(batch))) == list(map(seen, map(one_by_one(source()), batch)))
