"""How the answers of an API are written: their format, CSV's dialect, what records in lists of lists carry along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.csv_dialect import Comment, Delimiter, Header, OneCharacter, Ragged

_NAME: Final = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
_PLAIN: Final = re.compile(rf"{_NAME}(?:\.{_NAME})*")
_LISTS: Final = re.compile(rf"(?:{_NAME}(?:\.{_NAME})*)?\[\](?:\.{_NAME}(?:\[\])?)*")
_CARRIED: Final = re.compile(rf"(?:\^\.)*{_NAME}(?:\.{_NAME})*")
_LAST_NAME: Final = re.compile(rf"{_NAME}$")


class AnswerFormat(StrEnum):
    """What the bodies of answers are."""

    AUTO = "auto"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    XML = "xml"


class CsvAnswers(Declaration):
    """How CSV answers are written; what is left out is found out."""

    delimiter: Delimiter = Field("auto", description="What separates cells: one character, or `auto`.")
    quotechar: OneCharacter | None = Field('"', description="What quotes a cell; `null`: nothing does.")
    escapechar: OneCharacter | None = Field(
        None, description="What makes the next character stand for itself."
    )
    comment: Comment | None = Field(None, description="Lines that begin with this are left out.")
    header: Header = Field(
        True, description="Whether the first row names the columns; a list names them instead."
    )
    skip_rows: int = Field(0, ge=0, description="Lines to leave out at the start of an answer.")
    ragged: Ragged = Field(
        Ragged.REJECT, description="Rows with too few cells: `reject` them, or `pad` them with empty cells."
    )
    null_values: tuple[str, ...] = Field(
        ("",), description="Cells that mean: no value. A list replaces the default."
    )

    @property
    def encoding(self) -> str:
        """What the rows are read as: answers are transcoded before they are taken apart."""
        return "utf-8"


def is_plain_path(text: str) -> bool:
    """Whether *text* is names with dots between them, such as `data.items`."""
    return _PLAIN.fullmatch(text) is not None


def goes_into_lists(text: str) -> bool:
    """Whether *text* is a path with `[]` behind one name or more, such as `orders[].lines[]`."""
    return _LISTS.fullmatch(text) is not None


def _by_name(value: Any) -> Any:
    """A list of paths becomes a mapping, each under its last name."""
    if not isinstance(value, list | tuple):
        return value
    named: dict[str, Any] = {}
    for position, path in enumerate(value):
        found = _LAST_NAME.search(path) if isinstance(path, str) else None
        if found is None:
            refuse("must be a path such as id, customer.email or ^.id (one list further out)", at=(position,))
        name = found[0].strip('"')
        if name in named:
            refuse(f"leads to a second {name!r}", at=(position,), hint="Name them: {order_id: id, ...}")
        named[name] = path
    return named


def _checked(carry: Mapping[str, str]) -> dict[str, str]:
    for name, path in carry.items():
        if not _CARRIED.fullmatch(path):
            refuse("must be a path such as id, customer.email or ^.id (one list further out)", at=(name,))
    return dict(carry)


Carry = Annotated[
    dict[str, str],
    BeforeValidator(_by_name, json_schema_input_type=dict[str, str] | list[str]),
    AfterValidator(_checked),
]
"""Name and path of each value that is carried along."""
