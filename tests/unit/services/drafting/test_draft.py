from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.catalog_file import read_catalog
from kasparro.core.errors import ConfigurationError
from kasparro.services.drafting.body import records_of, step
from kasparro.services.drafting.draft import Draft, Line, catalog_text, literal
from kasparro.services.drafting.fields import changed_of, key_of, map_of, values_by_path
from kasparro.services.drafting.into_catalog import inserted
from kasparro.services.drafting.paging import Answered, paging_of
from kasparro.services.drafting.request import taken_apart

CATALOG = Path("kasparro.yaml")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(TEXT, TEXT, max_size=4), TEXT)
def test_whatever_text_a_draft_holds_it_is_read_back_as_it_was(params, why):
    params = {name: value for name, value in params.items() if name != "<<"}
    url = Line("url", "https://h.example/items", why)
    written = {name: literal(value) for name, value in params.items()}
    text = catalog_text(Draft("things", [Line("type", "api"), url, Line("params", written, why)]))

    assert read_catalog(text, CATALOG, {}).source("things").params == params


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
bodies = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "name", "items", "next", "url", "created_at", "a b", "author"]), inner
        )
    ),
    max_leaves=20,
)


@given(bodies)
def test_whatever_an_api_answers_the_draft_is_a_valid_declaration(body):
    found = records_of(body)
    values = values_by_path(found.records)
    paging = paging_of({}, Answered(body, len(found.records), None, linked=False), found.path)
    lines = [Line("type", "api"), Line("url", "https://h.example/items"), paging.line]
    lines += [Line("records", found.path, found.why)] if found.path else []
    lines += [line for line in (key_of(values, len(found.records)), changed_of(values)) if line]

    read_catalog(catalog_text(Draft("things", lines, map_of(values))), CATALOG, {})


@pytest.mark.parametrize(
    ("body", "path", "records"),
    [
        ([{"id": 1}], None, 1),
        ({"items": [{"id": 1}]}, "items", 1),
        ({"errors": [], "data": [{"id": 1}], "included": [{"x": 1}, {"x": 2}]}, "data", 1),
        ({"response": {"docs": [{"id": 1}], "facets": ["a", "b", "c"]}}, "response.docs", 1),
        ({"odd name": {"rows": [{"id": 1}]}}, '"odd name".rows', 1),
        ({"items": []}, "items", 0),
        ({"id": 1, "name": "a"}, "[@]", 1),
    ],
)
def test_the_records_are_found(body, path, records):
    found = records_of(body)

    assert (found.path, len(found.records)) == (path, records)


def test_a_step_of_a_path_is_quoted_where_it_has_to_be():
    assert [step(name) for name in ("a", "a b", 'a"b')] == ["a", '"a b"', '"a\\"b"']


@pytest.mark.parametrize(
    ("params", "body", "expected"),
    [
        ({}, {"next": "https://h.example/items?page=2"}, {"type": "next_url", "path": "next"}),
        ({}, {"next": None, "previous": None, "count": 2}, {"type": "next_url", "path": "next"}),
        ({}, {"links": {"next": "/items?page=2"}}, {"type": "next_url", "path": "links.next"}),
        ({}, {"@odata.nextLink": "https://h.example/x"}, {"type": "next_url", "path": '"@odata.nextLink"'}),
        ({}, {"nextRecordsUrl": "/services/query/1-2000"}, {"type": "next_url", "path": "nextRecordsUrl"}),
        (
            {},
            {"meta": {"next_cursor": "abc"}},
            {"type": "cursor", "param": "cursor", "next": "meta.next_cursor"},
        ),
        ({}, {"nextPageToken": "abc"}, {"type": "cursor", "param": "pageToken", "next": "nextPageToken"}),
        ({}, {"meta": {"next_page": 2}}, {"type": "cursor", "param": "page", "next": "meta.next_page"}),
        (
            {},
            {"pagination": {"next_page": 2}},
            {"type": "cursor", "param": "page", "next": "pagination.next_page"},
        ),
        (
            {"page": "1", "per_page": "30"},
            [],
            {"type": "page", "param": "page", "size_param": "per_page", "size": 30},
        ),
        ({"page": "0"}, [], {"type": "page", "param": "page", "start": 0}),
        (
            {"offset": "0", "limit": "50"},
            [],
            {"type": "offset", "offset_param": "offset", "limit_param": "limit", "limit": 50},
        ),
        ({}, {"total_pages": 7, "page": 1}, {"type": "page", "param": "page"}),
        ({}, [{"id": 1}], "none"),
        ({"limit": "many"}, [{"id": 1}], "none"),
    ],
)
def test_the_kind_of_pagination_is_seen(params, body, expected):
    paging = paging_of(params, Answered(body, 1, None, linked=False), None)

    assert (paging.line.value, paging.line.off) == (expected, False)


def test_a_list_that_is_continued_after_its_last_id_is_seen():
    body = {"object": "list", "data": [{"id": "a"}], "has_more": True}

    paging = paging_of({}, Answered(body, 1, None, linked=False), "data")

    assert paging.line.value == {
        "type": "cursor",
        "param": "starting_after",
        "next": "has_more && data[-1].id",
    }


def test_an_api_that_pages_without_showing_how_is_suggested_and_not_guessed():
    line = paging_of({}, Answered({"total": 90}, 30, 90, linked=False), None).line

    assert line.off
    assert "90 records and has 30" in line.why


@pytest.mark.parametrize(
    ("records", "key"),
    [
        ([{"name": "a", "id": 1}, {"name": "b", "id": 2}], "id"),
        ([{"id": 1, "uuid": "x"}, {"id": 1, "uuid": "y"}], "uuid"),
        ([{"id": None, "slug": "x"}, {"id": 2, "slug": "y"}], "slug"),
        ([{"n": 1.5, "order_id": 7}, {"n": 2.5, "order_id": 8}], "order_id"),
        ([{"meta": {"id": 1}}, {"meta": {"id": 2}}], "meta.id"),
        ([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}], ["a", "b"]),
    ],
)
def test_the_key_is_what_tells_all_records_apart(records, key):
    assert key_of(values_by_path(records), len(records)).value == key


def test_there_may_be_no_key():
    assert key_of(values_by_path([{"a": 1}, {"a": 1}]), 2) is None


def test_the_map_says_what_fills_by_itself_and_what_has_to_be_declared():
    records = [
        {
            "name": "n",
            "author": {"login": "me"},
            "created": 1700000000,
            "url": "https://api.example/1",
            "html_url": "https://example/1",
            "kind": "k",
        }
    ]

    lines = {line.key: (line.value, line.off) for line in map_of(values_by_path(records))}

    assert lines == {
        "title": ("name", True),
        "author": ("author.login", False),
        "published_at": ({"path": "created", "as": "epoch_s"}, False),
        "url": ("html_url", False),
        "category": ("kind", False),
    }


def test_a_date_that_can_be_read_in_two_ways_is_only_suggested():
    clear, either = [{"date": "31/01/2024"}], [{"date": "02/01/2024"}]

    assert [(line.value, line.off) for line in map_of(values_by_path(clear))] == [
        ({"path": "date", "as": "%d/%m/%Y"}, False)
    ]
    assert [line.off for line in map_of(values_by_path(either))] == [True]


def test_the_time_of_change_is_a_suggestion():
    line = changed_of(values_by_path([{"updatedAt": "2026-01-01T00:00:00Z"}]))

    assert (line.key, line.value["field"], line.off) == ("incremental", "updatedAt", True)


@pytest.mark.parametrize(
    ("url", "headers", "auth", "secrets"),
    [
        (
            "https://me:hunter2@h.example/a",
            [],
            {"type": "basic", "username": "me", "password": "${THINGS_PASSWORD}"},
            {"THINGS_PASSWORD": "hunter2"},
        ),
        (
            "https://h.example/a?api_key=hunter2",
            [],
            {"type": "api_key", "in": "query", "name": "api_key", "value": "${THINGS_KEY}"},
            {"THINGS_KEY": "hunter2"},
        ),
        (
            "https://h.example/a",
            ["Authorization: Bearer hunter2"],
            {"type": "bearer", "token": "${THINGS_TOKEN}"},
            {"THINGS_TOKEN": "hunter2"},
        ),
        (
            "https://h.example/a",
            ["Authorization: Token hunter2"],
            {
                "type": "api_key",
                "in": "header",
                "name": "Authorization",
                "prefix": "Token ",
                "value": "${THINGS_KEY}",
            },
            {"THINGS_KEY": "hunter2"},
        ),
        (
            "https://h.example/a",
            ["X-API-Key: ${MY_KEY}"],
            {"type": "api_key", "in": "header", "name": "X-API-Key", "value": "${MY_KEY}"},
            {},
        ),
    ],
)
def test_a_credential_is_taken_out_and_its_place_is_kept(url, headers, auth, secrets):
    asked = taken_apart(url, headers, "things", None)

    assert (asked.auth, asked.secrets) == (auth, secrets)
    assert "hunter2" not in f"{asked.url} {asked.params} {asked.headers} {asked!r}"


def test_two_credentials_are_one_too_many():
    with pytest.raises(ConfigurationError, match="more than one credential"):
        taken_apart("https://h.example/a?api_key=hunter2", ["Authorization: Bearer x"], "things", None)


@pytest.mark.parametrize("auth", ["bearer", "bearer:not a name", "digest:X", "header:X-Key:ey.J0"])
def test_a_credential_on_the_command_line_is_the_name_of_a_variable(auth):
    with pytest.raises(ConfigurationError):
        taken_apart("https://h.example/a", [], "things", auth)


EXISTING = """\
# my sources
sources:
  first:   # kept
    type: csv
    path: a.csv
    # map:
      # title: name

  # about the second
  second:
    type: csv
    path: b.csv

x-notes: {a: b}
"""
NEW = Draft("third", [Line("type", "csv"), Line("path", "c.csv")])


def test_a_draft_goes_behind_the_other_sources_and_nothing_else_moves():
    text = inserted(EXISTING, NEW, force=False)

    assert text.replace("\n  third:\n    type: csv\n    path: c.csv\n", "") == EXISTING
    assert [*read_catalog(text, CATALOG, {}).sources] == ["first", "second", "third"]


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_source_is_replaced_by_force_only(name):
    draft = Draft(name, [Line("type", "csv"), Line("path", "other.csv")])
    with pytest.raises(ConfigurationError, match="already"):
        inserted(EXISTING, draft, force=False)

    text = inserted(EXISTING, draft, force=True)

    paths = {one.name: one.path for one in read_catalog(text, CATALOG, {}).sources.values()}
    assert paths == {"first": "a.csv", "second": "b.csv"} | {name: "other.csv"}
    assert "# about the second" in text


@pytest.mark.parametrize("text", ["sources: {a: {type: csv, path: a}}\n", "- a\n", "sources:\n", "a: [\n"])
def test_a_catalog_that_cannot_be_added_to_is_told(text):
    with pytest.raises(ConfigurationError):
        inserted(text, NEW, force=False)
