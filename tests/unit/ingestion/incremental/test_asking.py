"""Where the times of a request go, and how they are written there."""

from __future__ import annotations

import json

import pytest
from yarl import URL

from kasparro.core.etl_config import ApiSource
from kasparro.core.moments import SECOND
from kasparro.ingestion.incremental.asking import Asking
from kasparro.ingestion.sources.target import target_of

SINCE, UNTIL = 1714521600 * SECOND, 1714608000 * SECOND


def asked(incremental, since=SINCE, until=UNTIL, **keys):
    incremental = {"field": "at", "format": "epoch_s"} | incremental
    source = ApiSource.model_validate(
        {"name": "s", "url": "https://h.example/x", "incremental": incremental} | keys
    )
    assert source.incremental is not None
    return Asking(source.incremental, source, target_of(source)).target(since, until)


def test_a_query_parameter_takes_the_place_of_a_declared_one():
    target = asked({"param": "since", "end_param": "until"}, params={"since": "0", "a": 1})
    assert target.base == URL("https://h.example/x?a=1&since=1714521600&until=1714608000")


def test_a_template_holds_both_ends():
    target = asked({"param": "q", "template": "at:{since}..{until} {since}"})
    assert target.base.query == {"q": "at:1714521600..1714608000 1714521600"}


@pytest.mark.parametrize("since", [None, SINCE])
def test_nothing_is_said_of_a_bound_that_there_is_not(since):
    target = asked({"param": "since", "end_param": "until"}, since, None, params={"a": 1})
    assert dict(target.base.query) == {"a": "1"} | ({"since": "1714521600"} if since else {})


def test_a_header_is_one_more():
    target = asked({"param": "X-Since", "in": "header"}, headers={"Accept": "text/json"})
    assert target.headers == {"Accept": "text/json", "X-Since": "1714521600"}


@pytest.mark.parametrize("body", [None, {}, {"filter": {"open": True}}])
def test_in_a_body_numbers_are_numbers_and_what_is_declared_stays(body):
    keys = {"method": "POST", "body": body}
    target = asked({"param": "filter.at.gte", "end_param": "filter.at.lt", "in": "body"}, **keys)

    filtered = {"at": {"gte": 1714521600, "lt": 1714608000}}
    assert json.loads(target.body) == {"filter": (body or {}).get("filter", {}) | filtered}
    assert body in (None, {}, {"filter": {"open": True}})
