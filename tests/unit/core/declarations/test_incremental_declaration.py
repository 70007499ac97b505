"""What `incremental` takes, and what it refuses because it does not fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kasparro.core.etl_config import ApiSource, CsvSource


def api(incremental, **keys):
    return ApiSource(name="s", url="https://h.example/x", incremental={"field": "at"} | incremental, **keys)


SLICES = {"param": "a", "end_param": "b", "initial": "2024-01-01", "step": "1d"}


@pytest.mark.parametrize(
    "incremental",
    [
        {},
        {"param": "since"},
        {"param": "since", "initial": "2024-01-01", "lookback": "1h", "format": "iso8601"},
        {"param": "since", "initial": "2024-01-01", "format": "epoch_s"},
        {"param": "since", "initial": "1704067200", "format": "epoch_s"},
        {"param": "since", "initial": "01.02.2024", "format": "%d.%m.%Y"},
        {"param": "since_id", "initial": "0", "format": "integer"},
        {"param": "q", "template": "updated:{since}..{until}", "initial": "2024-01-01", "step": "1w"},
        SLICES,
        SLICES | {"format": "date", "step": "2d", "end": "2025-01-01"},
        {"nulls": "reject", "field_format": "epoch_ms"},
    ],
)
def test_what_fits_together_is_taken(incremental):
    assert api(incremental).incremental is not None


@pytest.mark.parametrize(
    ("incremental", "at", "says"),
    [
        ({"lookback": "1h"}, ("lookback",), "needs param"),
        ({"initial": "2024-01-01", "end": "2025-01-01"}, ("end",), "needs param"),
        ({"param": "a", "template": "x"}, ("template",), "{since}"),
        ({"param": "a", "template": "{since}{to}"}, ("template",), "{until}"),
        ({"param": "a b", "in": "header"}, ("param",), "header name"),
        ({"param": "a", "end_param": "a"}, ("end_param",), "must differ"),
        ({"param": "a", "end": "2024-01-01"}, ("end",), "end_param"),
        ({"param": "a", "initial": "soon"}, ("initial",), "cannot be read"),
        ({"param": "a", "initial": "2024-01-01", "format": "integer"}, ("initial",), "cannot be read"),
        ({"param": "a", "format": "integer", "lookback": "1h"}, ("lookback",), "integers"),
        ({"param": "a", "format": "integer", "field_format": "iso8601"}, ("field_format",), "integer"),
        ({"param": "a", "format": "integer", "end_param": "b"}, ("end_param",), "needs end"),
        ({"param": "a", "step": "1d", "initial": "2024-01-01"}, ("step",), "end_param"),
        ({"param": "a", "end_param": "b", "step": "1d"}, ("step",), "initial"),
        (SLICES | {"format": "date", "step": "36h"}, ("step",), "whole days"),
        (SLICES | {"order": "ascending"}, ("order",), "does not go with step"),
        ({"param": "a", "format": "%Q"}, ("format",), "strptime"),
        ({"param": "a", "format": "rfc822"}, ("format",), "strptime"),
    ],
)
def test_what_does_not_fit_together_is_refused_where_it_stands(incremental, at, says):
    with pytest.raises(ValidationError) as refused:
        api(incremental)
    [error] = refused.value.errors()
    [refusal, *_] = error["ctx"]["refusals"]
    assert (*error["loc"][1:], *refusal.at) == at
    assert says in refusal.message


@pytest.mark.parametrize(
    ("incremental", "keys", "says"),
    [
        ({"param": "page"}, {"pagination": "page"}, "set by pagination"),
        ({"param": "since", "in": "body"}, {}, "method: POST"),
        ({"param": "since", "in": "body"}, {"method": "POST", "body": [1]}, "an object"),
        ({"param": "a.since", "in": "body"}, {"method": "POST", "body": {"a": 5}}, "leads through"),
    ],
)
def test_what_does_not_fit_the_rest_of_the_source_is_refused(incremental, keys, says):
    with pytest.raises(ValidationError) as refused:
        api(incremental, **keys)
    assert says in refused.value.errors()[0]["ctx"]["refusals"][0].message


def test_in_a_file_the_field_is_the_version_only():
    assert CsvSource(name="s", path="a.csv", incremental={"field": "at"}).incremental is not None
    with pytest.raises(ValidationError):
        CsvSource(name="s", path="a.csv", incremental={"field": "at", "param": "since"})


@pytest.mark.parametrize(
    "changed",
    [{"field": "b"}, {"param": "s"}, {"in": "header"}, {"initial": "2023-01-01"}, {"format": "epoch_s"},
     {"field_format": "epoch_s"}, {"template": ">{since}"}, {"end_param": "u"}],
)  # fmt: skip
def test_what_is_asked_identifies_the_fetch(changed):
    plain = {"param": "since", "initial": "2024-01-01"}
    assert api(plain | changed).fetch_fingerprint() != api(plain).fetch_fingerprint()


@pytest.mark.parametrize("changed", [{"lookback": "1d"}, {"nulls": "reject"}, {"order": "ascending"}])
def test_what_leaves_the_mark_where_it_is_does_not(changed):
    plain = {"param": "since", "initial": "2024-01-01"}
    assert api(plain | changed).fetch_fingerprint() == api(plain).fetch_fingerprint()
