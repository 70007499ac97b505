"""Patterns mean what they mean in a shell."""

from __future__ import annotations

import glob
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import PermanentSourceError
from kasparro.ingestion.files.local import find_local
from kasparro.ingestion.files.patterns import Pattern, is_pattern, split_pattern

PATHS = [
    "a.csv",
    "b.csv",
    ".hidden.csv",
    "x/a.csv",
    "x/y/a.csv",
    "x/y/z/b.txt",
    "x/.deep/a.csv",
    ".dot/a.csv",
    "ab/a.csv",
    "x/[1].csv",
]
PARTS = ["**", "*", "*.csv", "a*", "x", "?", "[ab].csv", "[!a]*", ".*", "y", "a.csv", ".dot"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"id\n")
    return root


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join).filter(is_pattern))
def test_a_pattern_matches_what_pythons_glob_matches(tree: Path, pattern: str) -> None:
    found = set(glob.glob(pattern, root_dir=tree, recursive=True))  # noqa: PTH207  # which hides what begins with a dot
    expected = found & set(PATHS)
    assert {path for path in PATHS if Pattern(pattern).matches(path)} == expected
    with suppress(PermanentSourceError):  # nothing matches
        assert {one.shown for one in find_local(pattern, tree, None)} == expected
        expected = set()
    assert not expected


@pytest.mark.parametrize(
    ("pattern", "start", "rest"),
    [
        ("*.csv", "", "*.csv"),
        ("data/2024/*/a.csv", "data/2024/", "*/a.csv"),
        ("/abs/**", "/abs/", "**"),
        ("a[12].csv", "", "a[12].csv"),
    ],
)
def test_the_folder_that_holds_all_matches_is_split_off(pattern: str, start: str, rest: str) -> None:
    assert split_pattern(pattern) == (start, rest)


@pytest.mark.parametrize("name", ["a.csv", "a[.csv", "a]b", "data/a.csv"])
def test_a_name_is_no_pattern(name: str) -> None:
    assert not is_pattern(name)


def test_a_special_character_in_brackets_is_itself() -> None:
    assert Pattern("x/[[]1[]].csv").matches("x/[1].csv")
    assert not Pattern("x/[[]1[]].csv").matches("x/1.csv")


def test_no_pattern_takes_long() -> None:
    pattern = Pattern("/".join(["**", "a*a*a*"] * 20) + "/b")
    assert not pattern.matches("/".join(["a" * 50] * 500))
