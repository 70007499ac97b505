"""Variables in values."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import ConfigurationError
from kasparro.core.substitution import fill_variables, read_variables, substitute

names = st.from_regex(re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,20}", re.ASCII), fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $ {text} $5", "plain $ {text} $5"),
        ("${A}", "one"),
        ("a ${A} b ${B} c", "a one b  c"),
        ("${A:-x}", "one"),
        ("${B:-x}", "x"),
        ("${C:-x y:z#}", "x y:z#"),
        ("${C:-}", ""),
        ("$${A}", "${A}"),
        ("$${A} ${A}", "${A} one"),
        ("${TRICK}", "${A} $${A}"),
    ],
)
def test_variables_are_filled_in(text, expected):
    result = substitute(text, {"A": "one", "B": "", "TRICK": "${A} $${A}"})
    assert result.text == expected
    assert result.unset == ()
    assert not result.malformed


def test_a_variable_that_is_not_set_is_named():
    assert substitute("${A} ${B:-x} ${C}", {}).unset == ("A", "C")


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A B}", "${1A}", "${A:x}", "${A", "${A:-${B}}", "${A-x}", "${é}"]
)
def test_what_looks_like_a_variable_and_is_none_is_noticed(text):
    assert substitute(text, {"A": "a", "B": "b"}).malformed


@settings(deadline=None)
@given(names, st.text())
def test_what_a_variable_contains_arrives_unchanged(name, value):
    assert substitute(f"<${{{name}}}>", {name: value}).text == f"<{value}>"


@settings(deadline=None)
@given(st.text(alphabet="${}A:- ").filter(lambda text: "$$" not in text))
def test_escaped_text_means_itself(text):
    result = substitute(text.replace("${", "$${"), {"A": "one"})
    assert result.text == text
    assert not result.from_outside


def test_only_values_are_filled_and_places_are_kept():
    filled = fill_variables({"${A}": ["${A}", {"k": "${NO}"}], "n": 5, "m": "${"}, {"A": "one"})
    assert filled.value == {"${A}": ["one", {"k": "${NO}"}], "n": 5, "m": "${"}
    assert filled.from_outside == {("${A}", 0), ("${A}", 1, "k")}
    assert filled.unset == {("${A}", 1, "k"): ("NO",)}
    assert filled.malformed == [("m",)]


def test_the_environment_beats_the_env_file_which_is_taken_as_written(tmp_path):
    (tmp_path / ".env").write_text(
        "# comment\nA=file\nB='it''s $HOME'\nC=\"${A}\"\nEMPTY=\nBARE\nexport D=d\n"
    )
    variables = read_variables(tmp_path, {"A": "environment"})
    assert variables["A"] == "environment"
    assert variables["C"] == "${A}"
    assert variables["EMPTY"] == ""
    assert variables["D"] == "d"
    assert "BARE" not in variables


def test_no_env_file_is_fine(tmp_path):
    assert read_variables(tmp_path, {"A": "a"}) == {"A": "a"}


def test_an_env_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"\.env: cannot be read as UTF-8"):
        read_variables(tmp_path, {})
