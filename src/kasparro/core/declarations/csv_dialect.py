"""How a CSV file is written: the checks behind its keys in the catalog."""

from __future__ import annotations

import codecs
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from kasparro.core.declarations.base import refuse

AUTO: Final = "auto"
_LONGEST_COMMENT: Final = 10
_HEADER_EXPECTED: Final = "must be true, false, or a list of column names without an empty one"
_TABS: Final = frozenset({"tab", "\\t"})
_UNUSABLE: Final = frozenset("\r\n\0")


class Ragged(StrEnum):
    """What becomes of a row that has fewer cells than the header."""

    REJECT = "reject"
    PAD = "pad"


def check_character(text: str) -> str:
    """Accept one character that can stand in a line."""
    if len(text) != 1 or text in _UNUSABLE:
        refuse("must be exactly one character, and not a line break")
    return text


def check_comment(text: str) -> str:
    """Accept a short text that can begin a line."""
    if not 0 < len(text) <= _LONGEST_COMMENT or _UNUSABLE & set(text):
        refuse(
            f"must be 1 to {_LONGEST_COMMENT} characters, without a line break",
            hint='For example comment: "#"',
        )
    return text


def check_delimiter(text: str) -> str:
    """Accept `auto` or one character."""
    return text if text == AUTO else check_character(text)


def check_encoding(text: str) -> str:
    """Accept `auto` or the name of a text encoding that Python knows."""
    if text == AUTO:
        return text
    try:
        "".encode(text)
        codecs.lookup(text)
    except (LookupError, ValueError, UnicodeError):
        refuse("is not an encoding this Python knows", hint="Write auto, utf-8, utf-16, cp1252, latin-1 ...")
    return text


def parse_header(value: Any) -> bool | tuple[str, ...]:
    """Read true, false, or column names that are all there and all different."""
    if not isinstance(value, list | tuple):
        return _boolean(value)
    if not value or not all(isinstance(name, str) and name for name in value):
        refuse(_HEADER_EXPECTED)
    if len(set(value)) < len(value):
        refuse("names a column twice")
    return tuple(value)


def _boolean(value: Any) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        refuse(_HEADER_EXPECTED)


def _tab(value: Any) -> Any:
    return "\t" if isinstance(value, str) and value in _TABS else value


OneCharacter = Annotated[str, BeforeValidator(_tab), AfterValidator(check_character)]
Comment = Annotated[str, AfterValidator(check_comment)]
Delimiter = Annotated[str, BeforeValidator(_tab), AfterValidator(check_delimiter)]
Encoding = Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(check_encoding)]
Header = Annotated[
    bool | tuple[str, ...],
    PlainValidator(parse_header, json_schema_input_type=bool | Annotated[list[str], Field(min_length=1)]),
]
