"""How the answers of an API are written: their format, CSV's dialect, what records in lists of lists carry along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.csv_dialect import (
    Comment,
    Delimiter,
    Encoding,
    Header,
    OneCharacter,
    Ragged,
)
from kasparro.core.declarations.expressions import Expression
from kasparro.core.sizes import ByteSize

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


def check_records(written: AnswerFormat, records: str | None) -> None:
    """Refuse `records` that do not go with the declared format."""
    match written:
        case AnswerFormat.NDJSON | AnswerFormat.CSV if records is not None:
            refuse(f"does not go with format: {written}, where each line is a record", at=("records",))
        case AnswerFormat.XML if records is None or not _PLAIN.fullmatch(records):
            hint = "Leave the outermost element out, as in records: channel.item"
            refuse("must be the path to the elements that are records", at=("records",), hint=hint)
        case _:
            pass


def check_carry(carry: Mapping[str, str], records: str | None, *, has_parent: bool) -> None:
    """Refuse to carry what is in no list of lists, and under a name that is taken."""
    if carry and has_parent:
        refuse("does not go with parent, which carries under the same name", at=("carry",))
    if carry and (records is None or not _LISTS.fullmatch(records)):
        refuse("needs `records` with [] in it, such as orders[].lines[]", at=("carry",))


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


class Answers(Declaration):
    """How the answers of a source are read, but for `records`."""

    carry: Carry = Field(
        default_factory=dict,
        description="What a record in a list of lists takes along from the records it stands in, under `_parent`.",
    )
    error: Expression | None = Field(
        None, description="JMESPath to what an answer with status 200 has only when it is none."
    )
    format: AnswerFormat = Field(
        AnswerFormat.AUTO, description="What answers are written in; `auto`: as their Content-Type says."
    )
    csv: CsvAnswers = Field(default_factory=CsvAnswers, description="How CSV answers are written.")
    encoding: Encoding = Field(
        "auto", description="The encoding of answers; `auto`: a byte order mark, the charset, else UTF-8."
    )
    max_size: ByteSize = Field(
        16 << 30, ge=1, description="The most bytes of one answer, unpacked, such as `2GiB`."
    )
