"""When two values are the same for matching."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_kit import api_declaration
from kasparro.ingestion.match_keys import moment, text, url
from kasparro.ingestion.matching import matcher
from kasparro.schemas.ingest import ApiOrigin, Keyed, Landed, RawRecord


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTPS://Example.ORG/a", "https://example.org/a"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("http://example.org:80", "http://example.org/"),
        ("https://example.org./a/", "https://example.org/a"),
        ("https://example.org/a#part", "https://example.org/a"),
        ("https://example.org/a?", "https://example.org/a"),
        (" https://example.org/a/?b=1 ", "https://example.org/a?b=1"),
        ("https://example.org/#/", "https://example.org/"),
        ("https://example.org/#/a/", "https://example.org/#/a"),
    ],
)
def test_addresses_that_are_the_same(one, other):
    assert url(one) == url(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/a", "https://example.org/a"),
        ("https://example.org/a", "https://example.org/A"),
        ("https://example.org/a", "https://www.example.org/a"),
        ("https://example.org/a?b=1", "https://example.org/a?b=2"),
        ("https://example.org:8443/a", "https://example.org/a"),
        ("https://example.org/#/a", "https://example.org/#/b"),
        ("https://example.org/#!a", "https://example.org/#!b"),
        ("https://one@example.org/a", "https://other@example.org/a"),
    ],
)
def test_addresses_that_may_be_different_are(one, other):
    assert url(one) != url(other)


@pytest.mark.parametrize(
    "value",
    ["", " ", "AAPL", "n/a", "/a/b", "example.org/a", "https://", "http://[", "https://h:x/", "mailto:a@b.c"],
)
def test_what_is_no_address_is_no_key(value):
    assert url(value) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("  War  and\tPeace ", "WAR AND PEACE"),
        ("Straße", "STRASSE"),
        ("ﬁn", "FIN"),
        ("é", "e\u0301"),
        ("\uff11\uff12", "12"),
    ],
)
def test_texts_that_are_the_same(one, other):
    assert text(one) == text(other) is not None


@pytest.mark.parametrize("value", ["", " \n", "-", "?!", "N/A", "Unknown", " untitled ", "NULL"])
def test_a_text_that_says_there_is_none_is_no_key(value):
    assert text(value) is None


@given(st.text())
def test_the_normal_form_of_a_text_is_its_own(value):
    normal = text(value)
    assert normal is None or text(normal) == normal
    assert text(value) == text(unicodedata.normalize("NFD", value)) == text(f" {value}\t")


@given(
    st.from_regex(
        r"(?i)(https?|ftp)://[a-z0-9.-]{1,20}(:[0-9]{1,4})?(/[a-z0-9/]{0,10})?(\?[a-z=]*)?(#[a-z/!]*)?",
        fullmatch=True,
    )
)
def test_the_normal_form_of_an_address_is_its_own(value):
    normal = url(value)
    assert normal is None or url(normal) == normal


def test_a_moment_is_the_same_whatever_its_offset():
    here = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert moment(here) == moment(datetime(2024, 1, 1, 7, tzinfo=UTC)) is not None
    assert moment(datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))) is None


def keys_of(record, *match):
    landed = Landed(Keyed("1", b"", RawRecord(b"", ApiOrigin("u", 1, 0))), json.dumps(record).encode())
    [found] = matcher(api_declaration(entity={"match": match}))([landed])
    return found.keys


def test_a_rule_all_of_whose_fields_are_there_makes_a_key():
    record = {"url": "https://example.org/a", "title": "A", "author": None, "metadata": {"author": "x"}}
    found = keys_of(record, ["url"], ["title", "author"], ["url", "title"])
    assert [key.rule for key in found] == ["url", "url+title"]
    assert len({key.digest for key in found}) == 2


def test_a_rule_is_the_same_in_whatever_order_its_fields_are_named():
    record = {"title": "A", "author": "B"}
    [one], [other] = keys_of(record, ["title", "author"]), keys_of(record, ["author", "title"])
    [swapped] = keys_of({"title": "B", "author": "A"}, ["title", "author"])
    assert one.digest == other.digest != swapped.digest


def test_a_source_without_rules_has_nothing_to_match():
    assert matcher(api_declaration())([]) == ()
