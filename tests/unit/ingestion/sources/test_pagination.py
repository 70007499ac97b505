from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from yarl import URL

from kasparro.core.errors import ForeignOrigin, UnexpectedContent
from kasparro.core.etl_config import Pagination
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.sources.envelope import open_envelope
from kasparro.ingestion.sources.pagination import Bound, paging_of
from kasparro.ingestion.sources.paging import Paging
from kasparro.ingestion.sources.places import Answer, Outlook, Place
from kasparro.ingestion.sources.target import Target

BASE = URL("https://api.example.org/items?q=1")
KEY = Credentials("", query={"key": "s3cr3t"}, secrets=("s3cr3t-s3cr3t",))


def paging(**declared: Any) -> Paging:
    return paging_of(TypeAdapter(Pagination).validate_python(declared), KEY)


def answer(body: Any, headers: dict[str, str] | None = None, url: URL = BASE) -> Answer:
    return Answer(url, headers or {}, open_envelope(json.dumps(body).encode(), None, lambda: ""))


def url_of(way: Paging, at: Any) -> URL:
    return way.request(Target(BASE, "GET", {}, None), at).url


def posted(way: Paging, at: Any, body: bytes | None) -> Any:
    request = way.request(Target(BASE, "POST", {"X": "y"}, body), at)
    assert (request.url, request.method, request.headers["X"]) == (BASE, "POST", "y")
    return json.loads(request.body or b"null")


def test_pages_are_asked_for_by_number_and_size():
    way = paging(type="page", param="p", start=0, size_param="n", size=50)
    assert way.first() == Place(0)
    assert str(url_of(way, 3)) == "https://api.example.org/items?q=1&p=3&n=50"


def test_an_offset_grows_by_what_was_received():
    way = paging(type="offset", limit=100)
    assert str(url_of(way, 7)) == "https://api.example.org/items?q=1&offset=7&limit=100"
    following = way.after(Place(200, ordinal=3), answer([1] * 60))
    assert following == Place(260, ordinal=4, doubted=True)


@pytest.mark.parametrize(
    ("place", "count", "following"),
    [
        (Place(1), 0, None),
        (Place(1), 3, Place(2, 2, full=True)),
        (Place(1), 2, Place(2, 2, doubted=True)),
        (Place(2, 2, full=True), 3, Place(3, 3, full=True)),
        (Place(2, 2, full=True), 2, None),
        (Place(2, 2, doubted=True), 2, Place(3, 3, doubted=True)),
        (Place(2, 2, doubted=True), 0, None),
        (Place(1), 4, Place(2, 2, full=True)),
    ],
)
def test_a_short_page_is_the_last_once_the_size_is_known_to_be_honoured(place, count, following):
    way = paging(type="page", size_param="n", size=3)
    assert way.after(place, answer([{}] * count)) == following


@pytest.mark.parametrize(
    ("declared", "place", "following"),
    [
        ({"type": "page", "size_param": "n", "size": 3}, Place(2, 2, full=True), 3),
        ({"type": "offset", "limit": 3}, Place(3, 2, full=True), 5),
    ],
)
def test_a_short_page_is_not_the_last_where_a_larger_total_is_told(declared, place, following):
    """It lost what came behind a page that the source had filtered after cutting it, and called that a success."""
    way = paging(**declared)
    assert way.after(place, answer({"items": [1, 2], "total": 7})) == Place(
        following, 3, full=True, doubted=True
    )
    assert way.after(place, answer({"items": [], "total": 7})) is None
    assert way.after(place, answer({"items": [1, 2], "total": 5})) is None
    assert way.after(place, answer({"items": [1, 2], "count": 2})) is None


def test_a_short_page_says_nothing_where_no_size_was_asked_for():
    assert paging(type="page").after(Place(1, full=True), answer([1])) == Place(2, 2, full=True)


def test_which_refusals_mean_that_there_is_no_such_page():
    way = paging(type="page", size_param="n", size=3)
    assert way.beyond_end(Place(1)) == set()
    assert way.beyond_end(Place(2, 2)) == {404, 410, 416}
    assert way.beyond_end(Place(2, 2, doubted=True)) == {400, 404, 410, 416, 422}
    for named in (paging(type="link_header"), paging(type="none")):
        assert way.beyond_end(Place(1)) == named.beyond_end(Place("x", 2)) == set()


@pytest.mark.parametrize(
    ("token", "at"), [("a", "a"), (0, "0"), (17, "17"), (None, None), (False, None), ("", None)]
)
def test_a_token_is_text_or_a_number_and_anything_empty_is_the_end(token, at):
    way = paging(type="cursor", param="c", next="next")
    following = way.after(Place(None), answer({"items": [], "next": token}))
    assert (following and following.at) == at


@pytest.mark.parametrize("token", [True, ["a"], {"a": 1}, 1.5])
def test_a_token_of_another_type_is_not_followed(token):
    with pytest.raises(UnexpectedContent, match="neither text nor a number"):
        paging(type="cursor", param="c", next="next").after(Place(None), answer({"items": [], "next": token}))


def test_a_token_is_sent_as_it_was_received():
    way = paging(type="cursor", param="c", next="next")
    assert url_of(way, "a+b/c=&ü").query["c"] == "a+b/c=&ü"
    assert url_of(way, None) == BASE


def test_a_token_may_stand_in_a_header():
    way = paging(type="cursor", param="c", next="header:X-Next")
    assert way.after(Place(None), answer([1], {"X-Next": " abc "})) == Place("abc", 2)
    assert way.after(Place(None), answer([1])) is None


@pytest.mark.parametrize(
    ("link", "at"),
    [
        ("?page=2", "https://api.example.org/v2/?page=2"),
        ("https://api.example.org/x?a=%2F&key=s3cr3t", "https://api.example.org/x?a=%2F"),
        ("/x?token=s3cr3t-s3cr3t&b=1", "https://api.example.org/x?b=1"),
    ],
)
@pytest.mark.parametrize("kind", ["link_header", "next_url"])
def test_a_link_is_resolved_and_loses_its_credential(kind, link, at):
    from_page = URL("https://api.example.org/v2/")
    if kind == "link_header":
        following = paging(type=kind).after(
            Place(None), answer([1], {"Link": f"<{link}>; rel=next"}, from_page)
        )
    else:
        body = {"items": [1], "links": {"next": link}}
        following = paging(type=kind, path="links.next").after(Place(None), answer(body, url=from_page))
    assert following == Place(at, 2)


def test_a_link_to_another_origin_is_refused_when_received_and_when_resumed():
    way = paging(type="next_url", path="next")
    with pytest.raises(ForeignOrigin):
        way.after(Place(None), answer({"items": [], "next": "https://evil.example/"}))
    with pytest.raises(ForeignOrigin):
        url_of(way, "https://evil.example/")


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ({"type": "page"}, [0, 7], [None, "7", -1, True, 1.5]),
        ({"type": "offset"}, [0, 700], [None, "7", -1, False]),
        ({"type": "cursor", "param": "c", "next": "n"}, ["abc"], [None, "", 7]),
        ({"type": "link_header"}, ["https://api.example.org/"], [None, "", 7]),
        ({"type": "none"}, [], ["x"]),
    ],
)
def test_only_places_of_its_kind_are_understood(declared, good, bad):
    way = paging(**declared)
    for at in good:
        place = way.place(way.cursor(Place(at, 3)))
        assert place == Place(at, 3)
    for at in bad:
        assert way.place(way.cursor(Place(at, 3))) is None


@pytest.mark.parametrize(
    ("body", "headers", "end"),
    [
        ([1, 2], {}, None),
        ({"data": [1, 2], "total": 7}, {}, 4),
        ({"data": [1, 2], "total": 8}, {}, 4),
        ({"data": [1, 2], "total": 0}, {}, None),
        ({"data": [1, 2], "total_pages": 3}, {}, 3),
        ({"data": [1, 2], "total": 7, "meta": {"last_page": 3}}, {}, 3),
        ({"data": [1, 2], "total": "many", "total_pages": [3]}, {}, None),
        ([1, 2], {"X-Total-Count": "7"}, 4),
        ([1, 2], {"X-Total": " 9 "}, 5),
        ([1, 2], {"X-WP-Total": "9", "X-WP-TotalPages": "4"}, 4),
        ([1, 2], {"X-Total-Count": "about 7", "X-Total-Pages": "9" * 16}, None),
    ],
)
def test_numbered_pages_go_on_by_one_up_to_what_an_answer_says(body, headers, end):
    for size in ({}, {"size_param": "n", "size": 500}):
        way = paging(type="page", start=0, **size)
        assert way.outlook(Place(1, 2), answer(body, headers)) == Outlook(1, end)
    counted_from_one = paging(type="page").outlook(Place(2, 2), answer(body, headers))
    assert counted_from_one == Outlook(1, end and end + 1)


def test_the_last_numbered_page_follows_from_the_size_once_that_is_known_to_be_honoured():
    way = paging(type="page", size_param="n", size=5)
    some = answer({"data": [1, 2], "total": 23})
    assert way.outlook(Place(3, 3, full=True), some) == Outlook(1, 6)
    assert way.outlook(Place(3, 3), some) == Outlook(1, 13)


def test_offsets_go_on_by_what_was_received_up_to_the_total():
    way = paging(type="offset", limit=100)
    assert way.outlook(Place(60, 2), answer([1] * 60)) == Outlook(60, None)
    assert way.outlook(Place(60, 2), answer([1] * 60, {"X-Total-Count": "130"})) == Outlook(60, 130)


@pytest.mark.parametrize(
    "declared",
    [{"type": "none"}, {"type": "link_header"}, {"type": "cursor", "param": "c", "next": "n"}],
)
def test_pages_that_only_an_answer_names_cannot_be_foretold(declared):
    assert paging(**declared).outlook(Place("x", 2), answer({"items": [1], "total": 50})) is None


# --- in headers and bodies ------------------------------------------------------------------------------------------------


def test_numbers_and_tokens_can_go_into_headers_and_replace_declared_ones_there():
    way = paging(**{"type": "page", "in": "header", "param": "X-Page", "size_param": "X-Size", "size": 5})
    request = way.request(Target(BASE, "GET", {"x-page": "9", "A": "b"}, None), 3)
    assert (request.url, request.headers) == (BASE, {"A": "b", "X-Page": "3", "X-Size": "5"})


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (None, {"v": {"page": {"n": 2, "size": 5}}}),
        (
            b'{"query": "q", "v": {"a": 1, "page": null}}',
            {"query": "q", "v": {"a": 1, "page": {"n": 2, "size": 5}}},
        ),
    ],
)
def test_numbers_go_to_their_path_in_the_body_and_leave_the_rest_of_it_alone(body, sent):
    declared = {"type": "page", "in": "body", "param": "v.page.n", "size_param": "v.page.size", "size": 5}
    assert posted(paging(**declared), 2, body) == sent


def test_a_body_that_has_no_room_for_the_page_is_refused():
    way = paging(**{"type": "page", "in": "body", "param": "v.page"})
    with pytest.raises(UnexpectedContent, match="something else than an object"):
        posted(way, 2, b'{"v": [1]}')


@pytest.mark.parametrize("token", ["a", "17", 17, ["2026-05-04", 12345678901234567890, "x"], {"id": 5}])
def test_a_token_that_goes_into_the_body_keeps_its_type(token):
    way = paging(**{"type": "cursor", "in": "body", "param": "search_after", "next": "next"})
    following = way.after(Place(None), answer({"items": [1], "next": token}))
    assert following is not None
    resumed = way.place(json.loads(json.dumps(way.cursor(following))))
    assert resumed == following
    assert posted(way, following.at, b'{"q": 1}') == {"q": 1, "search_after": token}
    assert posted(way, None, b'{"q": 1}') == {"q": 1}


@pytest.mark.parametrize("token", [None, False, "", [], {}])
def test_an_empty_token_for_the_body_is_the_end(token):
    way = paging(**{"type": "cursor", "in": "body", "param": "after", "next": "next"})
    assert way.after(Place(None), answer({"items": [1], "next": token})) is None
    assert way.place({"token": "not json", "ordinal": 2}) is None


@pytest.mark.parametrize("token", ["a\r\nX: y", "x" * 8_001])
def test_a_token_that_no_header_can_carry_is_refused(token):
    way = paging(**{"type": "cursor", "in": "header", "param": "X-Cursor", "next": "next"})
    with pytest.raises(UnexpectedContent, match="the next token"):
        way.after(Place(None), answer({"items": [1], "next": token}))


# --- what is declared about the end ---------------------------------------------------------------------------------------

KINDS = [
    {"type": "page", "size_param": "n", "size": 5},
    {"type": "offset", "limit": 5},
    {"type": "cursor", "param": "c", "next": "n"},
]


@pytest.mark.parametrize("declared", KINDS)
@pytest.mark.parametrize("no", [False, 0, None, "false", "No", "0", ""])
def test_what_is_false_at_has_more_is_the_end(declared, no):
    way = paging(**declared, has_more="m.more")
    assert way.after(Place(0, 2), answer({"items": [1] * 5, "n": "t", "m": {"more": no}})) is None


@pytest.mark.parametrize("declared", KINDS)
@pytest.mark.parametrize("yes", [True, 1, "true", "yes"])
def test_what_is_true_at_has_more_is_believed_where_a_page_is_short(declared, yes):
    way = paging(**declared, has_more="m.more")
    following = way.after(Place(0, 2, full=True), answer({"items": [1], "n": "t", "m": {"more": yes}}))
    assert following is not None
    assert not following.doubted


def test_has_more_may_be_computed():
    way = paging(type="page", has_more="page < total_pages")
    assert way.after(Place(1), answer({"items": [1], "page": 1, "total_pages": 2})) == Place(2, 2)
    assert way.after(Place(2, 2), answer({"items": [1], "page": 2, "total_pages": 2})) is None


@pytest.mark.parametrize("key", ["has_more", "total"])
def test_a_path_that_leads_to_nothing_is_not_taken_for_the_end(key):
    way = paging(type="page", **{key: "mispelt"})
    with pytest.raises(UnexpectedContent, match=rf"nothing at 'mispelt'.*Check `pagination.{key}`"):
        way.after(Place(1), answer({"items": [1], "more": True}))
    assert way.after(Place(1), answer({"items": [], "more": True})) is None


@pytest.mark.parametrize("total", [12, "12", " 12 ", 12.0])
def test_a_declared_total_is_the_end_by_number_and_by_position(total):
    some = {"items": [1] * 5, "all": total}
    by_number = paging(type="page", total="all")
    place = by_number.first()
    for _ in range(2):
        place = by_number.after(place, answer(some))
        assert place == by_number.place(json.loads(json.dumps(by_number.cursor(place))))
    assert by_number.after(place, answer({"items": [1] * 2, "all": total})) is None
    by_position = paging(type="offset", limit=5, total="all")
    assert by_position.after(Place(5, 2), answer(some)) == Place(10, 3, full=True, seen=10)
    assert by_position.after(Place(10, 3), answer({"items": [1] * 2, "all": total})) is None
    assert by_position.outlook(Place(5, 2), answer(some)) == Outlook(5, 12)


@pytest.mark.parametrize("total", [True, "many", [12], 1.5])
def test_a_declared_total_that_is_no_number_is_told(total):
    with pytest.raises(UnexpectedContent, match="not a number of records"):
        paging(type="offset", total="all").after(Place(0), answer({"items": [1], "all": total}))


def test_an_offset_does_not_go_on_after_an_empty_page_whatever_is_said():
    way = paging(type="offset", has_more="more")
    assert way.after(Place(5, 2), answer({"items": [], "more": True})) is None


@pytest.mark.parametrize(
    ("declared", "place", "outlook", "bounded"),
    [
        ({"type": "page", "max_pages": 3}, Place(2, 2), Outlook(1, None), Outlook(1, None, 4)),
        ({"type": "page", "start": 0, "max_pages": 3}, Place(1, 2), Outlook(1, 9), Outlook(1, 9, 3)),
        ({"type": "offset", "max_pages": 3}, Place(100, 2), Outlook(100, None), Outlook(100, None, 300)),
        ({"type": "page"}, Place(2, 2), Outlook(1, None), Outlook(1, None)),
    ],
)
def test_max_pages_bounds_what_is_foretold_and_what_follows(declared, place, outlook, bounded):
    bound = Bound(TypeAdapter(Pagination).validate_python(declared))
    assert bound.outlook(place, outlook) == bounded
    assert bound.reached(Place(0, 4)) == ("max_pages" in declared)
    assert not bound.reached(Place(0, 3))
