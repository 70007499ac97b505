from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import InvalidParameter, RequestError
from kasparro.schemas.query import (
    FIELDS,
    MOST_CONDITIONS,
    OPERATORS,
    Condition,
    Count,
    Field,
    Group,
    Joint,
    Kind,
    Op,
    Order,
    Position,
    RecordQuery,
)
from kasparro.services.query_fields import parse_field
from kasparro.services.query_text import DIRECTIVES, parse_query
from kasparro.services.record_cursor import write_cursor

STARS = Field("metadata", ("stars",))


def condition(name: str, text: str) -> Condition:
    (found,) = parse_query([(name, text)]).where
    assert isinstance(found, Condition)
    return found


def test_nothing_asks_for_everything():
    assert parse_query([]) == RecordQuery()


@pytest.mark.parametrize(
    ("name", "text", "op", "values"),
    [
        ("title", "a,b", Op.EQ, ("a,b",)),
        ("title", '"a"', Op.EQ, ('"a"',)),
        ("title", "", Op.EQ, ("",)),
        ("title[ne]", "x", Op.NE, ("x",)),
        ("title[in]", 'a,"b,c",d', Op.IN, ("a", "b,c", "d")),
        ("title[in]", '"say ""hi""",', Op.IN, ('say "hi"', "")),
        ("title[between]", "a,b", Op.BETWEEN, ("a", "b")),
        ("title[contains]", "%_\\", Op.CONTAINS, ("%_\\",)),
        ("author[isnull]", "true", Op.ISNULL, (True,)),
        ("id[gt]", "-3", Op.GT, (-3,)),
        ("id[in]", "1,2", Op.IN, (1, 2)),
        ("published_at[ge]", "2024-01-31", Op.GE, (datetime(2024, 1, 31, tzinfo=UTC),)),
        (
            "created_at",
            "2024-01-31T12:00:00.5+02:00",
            Op.EQ,
            (datetime(2024, 1, 31, 10, 0, 0, 500_000, UTC),),
        ),
        ("updated_at[lt]", "2024-01-31 12:00", Op.LT, (datetime(2024, 1, 31, 12, tzinfo=UTC),)),
        ("metadata.stars[gt]", "10", Op.GT, (Decimal(10),)),
        ("metadata.stars", "-1.5e3", Op.EQ, (Decimal(-1500),)),
        ("metadata.stars", "007", Op.EQ, ("007",)),
        ("metadata.stars", '"10"', Op.EQ, ("10",)),
        ("metadata.stars", "true", Op.EQ, (True,)),
        ("metadata.stars", '"true"', Op.EQ, ("true",)),
        ("metadata.stars[in]", '1,"1",x', Op.IN, (Decimal(1), "1", "x")),
        ("metadata.stars[startswith]", "10", Op.STARTSWITH, ("10",)),
        ("metadata.stars[contains]", "10", Op.CONTAINS, (Decimal(10),)),
        ("metadata.stars[contains]", "1e2", Op.CONTAINS, (Decimal(100), "1e2")),
    ],
)
def test_a_value_has_the_type_of_its_field_or_as_it_is_written(name, text, op, values):
    found = condition(name, text)

    assert (found.op, found.values) == (op, values)
    assert [type(v) for v in found.values] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("metadata.a", ("a",)),
        ("metadata.a.b.0", ("a", "b", "0")),
        ("metadata.Ä-1_x", ("Ä-1_x",)),
        ('metadata."a.b".c', ("a.b", "c")),
        (r'metadata."a\"]["', ('a"][',)),
        ('metadata.""', ("",)),
        ("metadata.'; DROP TABLE x--".replace(" ", ""), ("';DROPTABLEx--",)),
    ],
)
def test_a_metadata_path_is_names_with_dots_or_in_quotes(name, path):
    assert condition(name, "x").field == Field("metadata", path)
    assert condition(f"{name}[ne]", "x").field == Field("metadata", path)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(path=st.lists(NAMES, min_size=1, max_size=8).map(tuple))
def test_any_path_can_be_written_and_read_again(path):
    field = Field("metadata", path)

    assert parse_field("x", str(field), ()) == field
    assert parse_query([("sort", f"-{field},title"), ("fields", f"id,{field}")]) == RecordQuery(
        sort=(Order(field, descending=True), Order(Field("title"))), fields=(Field("id"), field)
    )


def test_the_rest_of_a_query():
    found = parse_query(
        [
            ("limit", "5"),
            ("offset", "7"),
            ("q", "two words"),
            ("sort", "-published_at,metadata.stars"),
            ("fields", "id,title,id"),
            ("facets", "category,metadata.stars"),
            ("count", "none"),
            ("source", "alpha"),
        ]
    )

    assert found == RecordQuery(
        where=(Condition(Field("source"), Op.EQ, ("alpha",)),),
        search="two words",
        sort=(Order(Field("published_at"), descending=True), Order(STARS)),
        fields=(Field("id"), Field("title")),
        facets=(Field("category"), STARS),
        count=Count.NONE,
        limit=5,
        offset=7,
    )
    assert found.source == "alpha"


def test_a_filter_has_groups_within_groups():
    text = '{"or": [{"category": "x"}, {"not": {"metadata.stars": {"ge": 10, "lt": 20.5}}}], "author": null, "id": {"in": [1, 2]}}'

    category, low, high = (
        Condition(Field("category"), Op.EQ, ("x",)),
        Condition(STARS, Op.GE, (Decimal(10),)),
        Condition(STARS, Op.LT, (Decimal("20.5"),)),
    )
    assert set(parse_query([("filter", text)]).where) == {
        Group(Joint.OR, (category, Group(Joint.NOT, (low, high)))),
        Condition(Field("author"), Op.ISNULL, (True,)),
        Condition(Field("id"), Op.IN, (1, 2)),
    }


def test_a_filter_and_parameters_say_the_same():
    by_parameters = parse_query([("title[contains]", "x"), ("metadata.n[gt]", "1"), ("category[in]", "a,b")])
    by_filter = parse_query(
        [("filter", '{"category": {"in": ["a", "b"]}, "metadata.n": {"gt": 1}, "title": {"contains": "x"}}')]
    )

    assert by_parameters == by_filter


def test_the_order_of_parameters_does_not_matter():
    pairs = [("title", "x"), ("author[ne]", "y"), ("limit", "3")]

    assert parse_query(pairs) == parse_query(pairs[::-1])
    assert parse_query(pairs).fingerprint() == parse_query(pairs[::-1]).fingerprint()


DEEP = '{"not": ' * 6 + '{"title": "x"}' + "}" * 6
REFUSED = [
    ("titel", "x", "Did you mean 'title'?"),
    ("title[gte]", "x", "Did you mean 'ge'?"),
    ("title[like]", "x", "Did you mean 'contains'?"),
    ("title[startwith]", "x", "Did you mean 'startswith'?"),
    ("title[regex]", "x", "Known are: eq, ne"),
    ("id[contains]", "1", "Known are"),
    ("metadata", "x", "metadata.stars"),
    ("metadata.", "x", None),
    ("metadata..a", "x", None),
    ("metadata.a.", "x", None),
    ("metadata.a b", "x", None),
    ('metadata."a', "x", None),
    (r'metadata."\u0000"', "x", None),
    ("metadata.\0", "x", None),
    (r'metadata."\ud800"', "x", None),
    (f"metadata.{'a.' * 8}a", "x", None),
    (f"metadata.{'a' * 101}", "x", None),
    ("title", "a\0b", None),
    ("title", "x" * 1001, None),
    ("title[in]", ",".join("a" * 101), None),
    ("title[in]", '"a', None),
    ("title[in]", '"a"b', None),
    ("title[between]", "a", "between=1,5"),
    ("title[isnull]", "yes", None),
    ("metadata.n", "null", "[isnull]=true"),
    ("metadata.n[gt]", "true", None),
    ("metadata.n[between]", "1,x", None),
    ("id", "1.0", None),
    ("id", "9223372036854775808", None),
    ("id", "\u0661", None),
    ("created_at", "yesterday", "%2B"),
    ("created_at", "2024-02-30", None),
    ("created_at", "0001-01-01T00:00:00+10:00", None),
    ("created_at", "2024-01-01T00:00:00 02:00", None),
    ("created_at", "20240101", None),
    ("source[in]", "alpha,Beta", None),
    ("sort", "", None),
    ("sort", "title,", None),
    ("sort", "title,-title", None),
    ("sort", "metadata", None),
    ("sort", "a'--", None),
    ("sort", "title,author,url,category,content", None),
    ("fields", "id,nothing", None),
    ("facets", "title", "category"),
    ("facets", "source,category,author,metadata.a,metadata.b", None),
    ("count", "maybe", None),
    ("q", " ", None),
    ("q", "x" * 301, None),
    ("q", "a\0", None),
    ("cursor", "x", None),
    ("filter", "{", None),
    ("filter", "[]", None),
    ("filter", "{}", None),
    ("filter", '{"or": {}}', None),
    ("filter", '{"or": []}', None),
    ("filter", '{"or": [1]}', None),
    ("filter", '{"not": []}', None),
    ("filter", '{"title": {}}', None),
    ("filter", '{"title": {"like": "x"}}', "contains"),
    ("filter", '{"title": 1}', None),
    ("filter", '{"title": {"in": "x"}}', None),
    ("filter", '{"title": "\\u0000"}', None),
    ("filter", '{"title": "\\ud800"}', None),
    ("filter", '{"id": true}', None),
    ("filter", '{"id": 1.5}', None),
    ("filter", '{"metadata.n": [1]}', None),
    ("filter", '{"metadata.n": {"gt": {"$ne": 1}}}', None),
    ("filter", '{"metadata.n": 1e99999}', None),
    ("filter", '{"metadata.n": NaN}', None),
    ("filter", '{"$where": "1"}', None),
    ("filter", '{"title": "a", "title": "b"}', "use `and`"),
    ("filter", '{"or": [{"id": {"gt": 1, "gt": 5}}]}', "Put its conditions together"),
    ("filter", '{"metadata.n": {"startswith": true}}', None),
    ("filter", '{"metadata.n": ' + "1" * 5000 + "}", None),
    ("filter", DEEP, None),
    ("filter", "[" * 5000, None),
    ("filter", " " * 8001, None),
]


@pytest.mark.parametrize(("name", "text", "hint"), REFUSED)
def test_what_is_not_understood_is_refused_by_name(name, text, hint):
    with pytest.raises(RequestError) as refused:
        parse_query([(name, text)])

    assert refused.value.parameter == name
    assert hint is None or hint in refused.value.hint


def test_a_query_is_bounded_in_its_conditions():
    pairs = [(f"metadata.f{number}", "x") for number in range(MOST_CONDITIONS)]
    parse_query(pairs)

    with pytest.raises(InvalidParameter, match="at most 50 conditions"):
        parse_query([*pairs, ("filter", '{"or": [{"title": "x"}]}')])


def test_a_parameter_given_twice_is_refused():
    with pytest.raises(InvalidParameter, match="given 2 times") as refused:
        parse_query([("title", "a"), ("limit", "1"), ("title", "b")])

    assert refused.value.parameter == "title"


def test_an_offset_does_not_go_with_a_cursor():
    with pytest.raises(InvalidParameter) as refused:
        parse_query([("cursor", "x"), ("offset", "1")])

    assert refused.value.parameter == "offset"


def test_an_offset_of_nothing_goes_with_a_cursor():
    """Generated clients send every default."""
    cursor = write_cursor(RecordQuery(), Position(("7",)))

    assert parse_query([("cursor", cursor), ("offset", "0")]) == RecordQuery(after=Position(("7",)))


KNOWN = st.sampled_from([*FIELDS, *DIRECTIVES, "metadata.a"])
ANY_NAME = st.builds(
    lambda name, op: f"{name}{op}", KNOWN | NAMES, st.sampled_from(["", *(f"[{op}]" for op in Op)])
)


@given(pairs=st.lists(st.tuples(ANY_NAME, st.text(max_size=30)), max_size=4))
def test_any_request_is_understood_or_refused(pairs):
    try:
        query = parse_query(pairs)
    except RequestError:
        return
    assert isinstance(hash(query), int)


def test_every_kind_of_field_has_its_operators():
    assert set(OPERATORS) == set(Kind)
