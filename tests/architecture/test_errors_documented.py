"""docs/errors.md and the code say the same: every code and every reason, and nothing that does not exist."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from kasparro.api.problems import HTTP_CODES, OVERLOADED, rule_of
from kasparro.core import errors
from kasparro.core.errors import KasparroError, RequestError
from kasparro.schemas.ingest import NoticeCode, RejectReason

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROW = re.compile(r"^\| `(?P<code>\w+)` \|(?P<cells>.*)\|$", re.MULTILINE)
ON_THE_WIRE_ONLY = {"internal_error", OVERLOADED, *HTTP_CODES.values()}
"""Codes that the API answers and no class of ours carries."""


def rows(section: str) -> dict[str, list[str]]:
    """The rows of the tables of a section, by their code."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = [(row["code"], [cell.strip() for cell in row["cells"].split("|")]) for row in ROW.finditer(text)]
    assert len(found) == len(dict(found)), "a code is documented twice"
    return dict(found)


def classes(root: type[KasparroError] = KasparroError) -> list[type[KasparroError]]:
    """Those of the error tree; what other modules derive for themselves never leaves them."""
    below = [c for child in root.__subclasses__() for c in classes(child)]
    return [c for c in (root, *below) if c.__module__.startswith(errors.__name__)]


BY_CODE = {error.code: error for error in classes()}


def test_every_class_has_a_code_of_its_own():
    assert len(BY_CODE) == len(classes())


def test_every_code_is_documented_and_every_documented_code_exists():
    assert set(rows("Error codes")) == set(BY_CODE) | ON_THE_WIRE_ONLY


def test_every_reason_is_documented_and_every_documented_reason_exists():
    assert set(rows("Why records are rejected")) == {reason.value for reason in RejectReason}


def test_every_notice_is_documented_and_every_documented_notice_exists():
    assert set(rows("Notices")) == {code.value for code in NoticeCode}


def test_every_code_and_reason_says_what_it_means_and_what_to_do():
    for table in (rows("Error codes"), rows("Why records are rejected"), rows("Notices")):
        assert [code for code, cells in table.items() if not all(cells)] == []


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_the_exit_code_is_as_documented(code):
    error = BY_CODE[code]
    documented = rows("Error codes")[code][0]

    assert documented == ("-" if issubclass(error, RequestError) else str(error.exit_code))


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_the_http_status_is_as_documented(code):
    error = BY_CODE[code]
    status = rule_of(error.__new__(error)).status
    documented = rows("Error codes")[code][1]

    assert documented in {str(status.value), "-"}
    assert documented != "-" or status is HTTPStatus.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize(("status", "code"), HTTP_CODES.items())
def test_what_the_web_framework_refuses_is_as_documented(status, code):
    assert rows("Error codes")[code][1] == str(int(status))
