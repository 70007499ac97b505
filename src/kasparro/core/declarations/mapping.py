"""Where the fields of a DataRecord come from: `map`. The YAML spellings in, one `FieldRule` per field out."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kasparro.core.declarations.base import Declaration, OptionalScalar, Refusal, refuse, refuse_all
from kasparro.core.declarations.expressions import Text, expression_fault

FieldName = Literal["title", "description", "content", "author", "published_at", "url", "category"]

CONST_PREFIX: Final = "const:"
TIME_FIELD: Final = "published_at"
TIME_FORMATS: Final = ("iso8601", "epoch_s", "epoch_ms", "date")
TEXT_FORMAT: Final = "text"

TIME_DIRECTIVES: Final = frozenset("aAwdbBmyYHIMSfzZjUWcxXGuVp%")


class FieldRule(Declaration):
    """Where one field comes from: the first of `paths` that has a value, else `default`; or `const` always."""

    paths: tuple[Text, ...] = Field(
        (), alias="path", description="JMESPath expressions; the first with a value wins."
    )
    as_: Text | None = Field(
        None,
        alias="as",
        description="How to read the value: `text`; for published_at `iso8601`, `epoch_s`, `epoch_ms`, `date` or a "
        "strptime pattern such as `%d.%m.%Y`.",
    )
    default: OptionalScalar = Field(None, description="The value when no path has one.")
    const: OptionalScalar = Field(None, description="The value, whatever the record says; `null` for none.")

    @field_validator(
        "paths", mode="before", json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]
    )
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("paths")
    @classmethod
    def _no_const_among_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for position, path in enumerate(paths):
            if path.startswith(CONST_PREFIX):
                refuse(
                    "is not a path",
                    at=(position,),
                    hint="Write {path: [...], default: ...} for a value that stands in",
                )
        return paths

    @model_validator(mode="after")
    def _path_or_const(self) -> FieldRule:
        given = self.model_fields_set
        if "const" in given and (self.paths or "default" in given):
            refuse("cannot be combined with path or default", at=("const",))
        if "const" not in given and not self.paths:
            refuse(
                "needs a path, or const",
                hint="Leave the field out for its usual names, or write {const: null} for none",
            )
        return self


def _spellings(value: Any) -> Any:
    match value:
        case str() if value.startswith(CONST_PREFIX):
            return {"const": value.removeprefix(CONST_PREFIX).strip()}
        case str() | list() | tuple():
            return {"path": value}
        case _:
            return value


_Spelled = FieldRule | str | Annotated[list[str], Field(min_length=1)]
FieldMap = dict[FieldName, Annotated[FieldRule, BeforeValidator(_spellings, json_schema_input_type=_Spelled)]]


def check_formats(field_map: FieldMap) -> FieldMap:
    """Accept *field_map* if each `as` can be applied to its field."""
    given = {name: rule.as_ for name, rule in field_map.items() if rule.as_ is not None}
    faults = {
        name: (_time_fault if name == TIME_FIELD else _text_fault)(form) for name, form in given.items()
    }
    refuse_all([Refusal(fault, (name, "as")) for name, fault in faults.items() if fault])
    return field_map


def check_expressions(field_map: FieldMap) -> FieldMap:
    """Accept *field_map* if each path is a JMESPath expression."""
    faults = [
        expression_fault(path, (name, "path", position))
        for name, rule in field_map.items()
        for position, path in enumerate(rule.paths)
    ]
    refuse_all([fault for fault in faults if fault])
    return field_map


def _text_fault(form: str) -> str | None:
    return None if form == TEXT_FORMAT else f"must be {TEXT_FORMAT}: only {TIME_FIELD} can be read as a time"


def _time_fault(form: str) -> str | None:
    if form in TIME_FORMATS:
        return None
    if "%" not in form:
        return f"must be one of {', '.join(TIME_FORMATS)}, or a strptime pattern such as %d.%m.%Y"
    if any(directive not in TIME_DIRECTIVES for directive in re.findall(r"%(.?)", form, re.DOTALL)):
        return "is not a strptime pattern: it has a % that does not start a known directive"
    return None
