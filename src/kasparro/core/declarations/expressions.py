"""The small languages of the catalog: JMESPath expressions, dotted field paths, header names. Checked, not run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import AfterValidator, StringConstraints

from kasparro.core.declarations.base import Refusal, refuse, refuse_all

HEADER_PREFIX: Final = "header:"
NOT_A_HEADER_NAME: Final = "is not a header name (RFC 9110: letters, digits and hyphens, no blanks)"

_LONGEST: Final = 1_000
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_PATH: Final = re.compile(r"[\[\]*|()`?]|(?:^|\.)(?:\.|$)|^\s|\s$")


def expression_fault(text: str, at: tuple[str | int, ...] = ()) -> Refusal | None:
    """Say what is wrong with *text* as a JMESPath expression (https://jmespath.org); unknown functions are wrong too."""
    try:
        parsed = jmespath.compile(text).parsed
        unknown = next((name for name in _functions(parsed) if name not in Functions.FUNCTION_TABLE), None)
    except JMESPathError as error:
        return Refusal(f"is not a JMESPath expression{_position(error)}", at, _quoting_hint(text))
    except RecursionError:
        return Refusal("is a JMESPath expression that is nested too deeply", at)
    if unknown is None:
        return None
    near = difflib.get_close_matches(unknown, Functions.FUNCTION_TABLE, n=1)
    return Refusal(
        "calls a function that JMESPath does not have", at, f"Did you mean {near[0]}()?" if near else None
    )


def check_expression(text: str) -> str:
    """Accept *text* if it is a JMESPath expression."""
    fault = expression_fault(text)
    refuse_all([fault] if fault else [])
    return text


def is_field_path(text: str) -> bool:
    """Whether *text* is a field path such as `id` or `owner.id`."""
    return text != "" and not _NOT_IN_A_PATH.search(text)


def check_field_path(text: str) -> str:
    """Accept *text* if it is a field path."""
    if not is_field_path(text):
        refuse("must be a field path such as id or owner.id, not an expression")
    return text


def is_header_name(text: str) -> bool:
    """Whether *text* is a header name (RFC 9110, section 5.1)."""
    return _HEADER_NAME.fullmatch(text) is not None


def check_header_name(text: str) -> str:
    """Accept *text* if it is a header name."""
    if not is_header_name(text):
        refuse(NOT_A_HEADER_NAME)
    return text


def check_expression_or_header(text: str) -> str:
    """Accept a JMESPath expression into the body, or `header:Name`."""
    if text.startswith(HEADER_PREFIX):
        check_header_name(text.removeprefix(HEADER_PREFIX))
        return text
    return check_expression(text)


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("type") == "function_expression":
        yield str(node["value"])
    for child in node.get("children", ()):
        if isinstance(child, Mapping):
            yield from _functions(child)


def _position(error: JMESPathError) -> str:
    position = getattr(error, "lex_position", None)
    return f" (the error is at character {position + 1})" if isinstance(position, int) else ""


def _quoting_hint(text: str) -> str | None:
    if re.search(r"[\s-]", text) and not re.search(r"[\"'`]", text):
        return "A name with spaces or hyphens needs double quotes inside the expression: '\"full name\"'"
    return None


Text = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST)]
Expression = Annotated[Text, AfterValidator(check_expression)]
ExpressionOrHeader = Annotated[Text, AfterValidator(check_expression_or_header)]
HeaderName = Annotated[Text, AfterValidator(check_header_name)]
