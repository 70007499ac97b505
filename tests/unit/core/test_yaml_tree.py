"""YAML read without guessing, with lines, within limits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import ConfigurationError
from kasparro.core.yaml_tree import MAX_DEPTH, Reading, parse_yaml


def parse(text: str, reading: Reading = Reading.TEXT_OR_NULL):
    return parse_yaml(text, "k.yaml", lambda _: reading)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "12:30:00",
        "2024-01-01",
        "007",
        "0o14",
        "1_000",
        "1.10",
        ".inf",
        "true",
        "5",
        "=",
        "0x1F",
    ],
)
def test_a_plain_scalar_is_the_text_that_is_written(text):
    assert parse(f"a: {text}").value == {"a": text}


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null_is_null_unless_text_is_asked_for_or_quoted(text):
    assert parse(f"a: {text}").value == {"a": None}
    assert parse(f"a: {text}", Reading.TEXT).value == {"a": text}
    assert parse(f"a: '{text}'").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "json", "exact"),
    [
        ("true", True, True),
        ("False", False, False),
        ("no", "no", "no"),
        ("5", 5, 5),
        ("-0.5", -0.5, -0.5),
        ("007", "007", "007"),
        ("1.10", 1.1, "1.10"),
        ("1e3", 1000.0, "1e3"),
        ("1e999", "1e999", "1e999"),
        (".nan", ".nan", ".nan"),
        ("2024-01-01", "2024-01-01", "2024-01-01"),
        ("9" * 400, "9" * 400, "9" * 400),
        ("-0", 0, "-0"),
        ('"5"', "5", "5"),
    ],
)
def test_numbers_are_read_where_asked_for_as_json_writes_them(text, json, exact):
    for reading, expected in ((Reading.JSON, json), (Reading.EXACT, exact)):
        value = parse(f"a: {text}", reading).value["a"]
        assert (type(value), value) == (type(expected), expected)


def test_a_text_tag_keeps_text_and_a_number_tag_changes_nothing():
    assert parse("[!!str 5, !!int 7, !!str null]", Reading.JSON).value == ["5", 7, "null"]


def test_every_place_has_its_line():
    tree = parse("# one\na:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n")
    assert tree.lines["a", "b"] == 3
    assert tree.lines["a", "c", 0] == 5
    assert tree.lines["a", "c", 1, "d"] == 6
    assert tree.line(("a", "tag", "c", "nothing")) == 4
    assert tree.line(("nothing",)) == tree.line(()) == 2


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("a: 1\nb: 2\na: 3", 1, 3),
        ("x:\n  a: 1\n  'a': 2", 2, 3),
        ("{a: 1,\n a: 2}", 1, 2),
        ("- k: 1\n  k: 1", 1, 2),
    ],
)
def test_a_key_given_twice_is_reported_with_both_lines(text, first, second):
    [problem] = parse(text).problems
    assert problem.line == second
    assert f"already given in line {first}" in problem.message


def test_merged_keys_give_way_to_own_ones_and_to_earlier_merges():
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]"
    tree = parse(text)
    assert tree.value["c"] == {"x": "1", "y": "1", "z": "3"}
    assert tree.problems == []
    assert tree.lines["c", "x"] == 1


def test_two_merges_in_one_mapping_keep_the_first():
    assert parse("a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: *a\n  <<: *b").value["c"] == {"x": "1"}


def test_a_quoted_merge_sign_is_an_ordinary_key():
    assert parse('{"<<": 1}').value == {"<<": "1"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a:\n\tb: 1", 2, "a tab cannot indent YAML"),
        ("a: 1\n b: 2", 2, "not valid YAML"),
        ("a: [1, 2\nb: 3", 2, "not valid YAML"),
        ("a: *nothing", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: 'x\n\n", 3, "not valid YAML"),
        ("a: 1\nb: \x07", 2, "the character U+0007 is not allowed"),
        ("a: @x", 1, "not valid YAML"),
        (
            "a: {type: bearer, token: ${TOKEN}}",
            1,
            'Within {...} and [...] a variable needs quotes: "${NAME}"',
        ),
        ("[" * 100 + "]" * 100, 1, "nested more than"),
        ("x: &x [*x]", 1, "nested more than"),
        ("x: &x\n  <<: *x", 2, "nested more than"),
    ],
)
def test_what_is_not_usable_yaml_is_refused_with_its_line(text, line, message):
    with pytest.raises(ConfigurationError) as refusal:
        parse(text)
    assert message in str(refusal.value)
    assert refusal.value.problems[0].file == "k.yaml"
    assert refusal.value.problems[0].line == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object:os.system {}", "!!python/object:os.system is not allowed"),
        ("a: !!binary aGk=", "!!binary is not allowed"),
        ("a: !!timestamp 2024-01-01", "!!timestamp is not allowed"),
        ("a: !!set {x}", "!!set is not allowed"),
        ("a: !mine 1", "!mine is not allowed"),
        ("? [a]\n: 1", "a key must be text"),
        ("<<: 1", "<< can only merge mappings"),
        ("<<: [1]", "<< can only merge mappings"),
    ],
)
def test_what_plain_yaml_does_not_need_is_reported(text, message):
    [problem] = parse(text).problems
    assert message in problem.message
    assert problem.line == 1


def test_aliases_cannot_grow_without_end():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6))
    with pytest.raises(ConfigurationError, match="once its aliases are written out"):
        parse(bomb)


def test_merges_cannot_grow_without_end():
    bomb = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6)
    )
    with pytest.raises(ConfigurationError, match="once its aliases are written out"):
        parse(bomb)


def test_the_deepest_allowed_document_is_read():
    assert parse("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).problems == []


def test_an_empty_document_is_null():
    assert parse("").value is None
    assert parse("# nothing\n").value is None


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(ConfigurationError):
        parse(text)
