import json

from hypothesis import given
from hypothesis import strategies as st

from kasparro.services.shapes import DEEPEST, MOST_PATHS, Change, Shape, changes


def shape(*records, stream=""):
    made = Shape()
    for one in records:
        made.add(stream, json.dumps(one).encode())
    return made


def kinds(before, after):
    return {(one.field, one.kind) for one in changes(before, after)}


def test_what_is_new_missing_or_of_another_type_is_told():
    before = shape({"id": 1, "gone": "x", "changed": 5, "deep": {"a": 1}})
    after = shape({"id": 2, "came": None, "changed": "5", "deep": {"a": 1, "b": [1]}})

    assert kinds(before, after) == {
        ("gone", "missing"),
        ("came", "added"),
        ("changed", "type_changed"),
        ("deep.b", "added"),
    }


def test_of_a_whole_object_only_its_name_is_told():
    assert kinds(shape({"id": 1}), shape({"id": 1, "new": {"a": {"b": 1}}})) == {("new", "added")}


def test_null_is_no_type_and_numbers_are_one():
    assert changes(shape({"a": 1, "b": None}), shape({"a": 1.5, "b": "x"}, {"a": None, "b": None})) == []


def test_a_field_that_is_often_left_out_is_not_missed_in_a_small_sample():
    before = shape(*({"id": n, "rare": n} if n % 10 == 0 else {"id": n} for n in range(100)))

    assert changes(before, shape(*({"id": n} for n in range(20)))) == []
    assert kinds(before, shape(*({"id": n} for n in range(60)))) == {("rare", "missing")}


def test_a_change_says_in_how_many_records_it_was_seen():
    [change] = changes(shape({"id": 1}, {"id": 2}), shape({"id": 1, "a": "x"}, {"id": 2}))

    assert change == Change("", "a", "added", (), ("text",), 0.0, 0.5)


def test_streams_are_compared_with_themselves():
    before, after = shape({"id": 1}, stream="users"), shape({"id": 1}, stream="users")
    after.add("orders", b'{"other": 1}')

    assert changes(before, after) == []


def test_what_is_no_record_has_no_shape():
    made = Shape()
    for payload in (b"[1]", b"nonsense", b"1", b"[" * 100_000):
        made.add("", payload)

    assert made.size == 0


def test_depth_and_number_of_fields_are_bounded():
    deep: dict = {}
    for _ in range(50):
        deep = {"a": deep}
    made = shape(deep, {f"k{n}": n for n in range(5 * MOST_PATHS)})

    assert len(made.fields()) == MOST_PATHS
    assert max(path.count(".") for _, path in made.fields()) <= DEEPEST


records = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda i: st.lists(i) | st.dictionaries(st.sampled_from("xy"), i), max_leaves=5),
)  # fmt: skip


@given(st.lists(records, max_size=5))
def test_records_that_are_the_same_do_not_differ(sample):
    assert changes(shape(*sample), shape(*sample)) == []
