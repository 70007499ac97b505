"""Names in queries: `title`, `metadata.owner.login`, `metadata."a.b".0` in, a `Field` out. Raises `InvalidParameter`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from kasparro.core.errors import InvalidParameter
from kasparro.schemas.query import FIELDS, LONGEST_STEP, MOST_STEPS, OPERATORS, Field, Op

STEP: Final = re.compile(r'\.(?:(?P<plain>[^."\[\]\\, ]+)|(?P<quoted>"(?:[^"\\]|\\.)*"))')
NAME: Final = re.compile(r'[-A-Za-z_]+(?:\.(?:"(?:[^"\\]|\\.)*"|[^.",]*))*')
PREFIX: Final = "metadata."
ELSEWHERE: Final = {
    "gte": "ge",
    "lte": "le",
    "neq": "ne",
    "like": "contains",
    "ilike": "contains",
    "null": "isnull",
}
"""What other query languages call our operators."""


def parse_field(parameter: str, text: str, known: Sequence[str], thing: str = "field") -> Field:
    """The field that *text* names; the nearest *thing* of *known* is told where there is none."""
    if text in FIELDS:
        return Field(text)
    if text.startswith(PREFIX):
        return Field("metadata", _path(parameter, text.removeprefix("metadata")))
    raise InvalidParameter(parameter, f"there is no {thing} {text!r} here", hint=nearest(text, known))


def parse_operator(parameter: str, field: Field, name: str) -> Op:
    known = [op.value for op in Op if op in OPERATORS[field.kind]]
    if name in known:
        return Op(name)
    hint = f"Did you mean {ELSEWHERE[name]!r}?" if name in ELSEWHERE else nearest(name, known, 0.8)
    raise InvalidParameter(parameter, f"there is no operator {name!r} for {field}", hint=hint)


def nearest(name: str, known: Sequence[str], likeness: float = 0.6) -> str:
    near = difflib.get_close_matches(name[:100], known, n=1, cutoff=likeness)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}"


def split_names(parameter: str, text: str | None, most: int) -> list[str]:
    """The names of a list like `-published_at,metadata."a,b"`; none may be empty."""
    if text is None:
        return []
    names: list[str] = []
    at = 0
    while (found := NAME.match(text, at)) and len(names) < most:
        names.append(found[0])
        at = found.end() + 1
        if found.end() == len(text):
            return names
        if text[found.end()] != ",":
            break
    if len(names) == most:
        raise InvalidParameter(parameter, f"names more than {most} fields")
    raise InvalidParameter(
        parameter, "must be names of fields, with commas between them", hint=f"Known are: {', '.join(FIELDS)}"
    )


def _path(parameter: str, text: str) -> tuple[str, ...]:
    steps: list[str] = []
    at = 0
    while at < len(text):
        found = STEP.match(text, at)
        if found is None:
            raise InvalidParameter(
                parameter,
                "is not a path within metadata",
                hint='Write metadata.owner.login; a name with dots, brackets, commas or blanks in double quotes: metadata."a.b"',
            )
        steps.append(found["plain"] or _quoted(parameter, found["quoted"]))
        at = found.end()
    if any("\0" in step for step in steps):
        raise InvalidParameter(parameter, "no name of the dataset contains a NUL character")
    if len(steps) > MOST_STEPS or any(len(step) > LONGEST_STEP for step in steps):
        raise InvalidParameter(
            parameter, f"a path has at most {MOST_STEPS} names of {LONGEST_STEP} characters each"
        )
    return tuple(steps)


def _quoted(parameter: str, text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidParameter(parameter, "has a name in quotes that is not a JSON text") from error
