"""What makes a source ask only for what changed: `incremental`. Its keys in, a declaration whose parts fit together out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from kasparro.core.declarations.base import Declaration, Refusal, refuse, refuse_all
from kasparro.core.declarations.expressions import (
    NOT_A_HEADER_NAME,
    Text,
    check_field_path,
    is_header_name,
)
from kasparro.core.declarations.mapping import TIME_DIRECTIVES
from kasparro.core.durations import Duration
from kasparro.core.moments import FORMATS, INTEGER, format_named, read_iso8601

FieldPath = Annotated[Text, AfterValidator(check_field_path)]

SINCE: Final = "{since}"
UNTIL: Final = "{until}"

_ASKED: Final = {"field", "param", "in_", "template", "initial", "format", "field_format", "end_param"}
_PLACEHOLDER: Final = re.compile(r"\{\w*\}")
_DAY: Final = timedelta(days=1)


def check_format(text: str) -> str:
    """Accept *text* if it is a format by name, or a strptime pattern."""
    if text in FORMATS:
        return text
    if "%" not in text:
        refuse(f"must be one of {', '.join(FORMATS)}, or a strptime pattern such as %d.%m.%Y")
    if any(directive not in TIME_DIRECTIVES for directive in re.findall(r"%(.?)", text, re.DOTALL)):
        refuse("is not a strptime pattern: it has a % that does not start a known directive")
    return text


Format = Annotated[Text, AfterValidator(check_format)]


class Incremental(Declaration):
    """Ask only for what changed since the last run; `field` is also the record's version."""

    field: FieldPath = Field(description="The field that says when a record changed; also its version.")
    param: Text | None = Field(
        None, description="What carries the time to start from; left out, everything is fetched each time."
    )
    in_: Literal["query", "body", "header"] = Field(
        "query",
        alias="in",
        description="Where it is sent; in `body`, `param` is a path such as `filter.since`.",
    )
    template: Text | None = Field(
        None, description="The value of `param` around the times, such as `updated:>={since}`."
    )
    initial: Text | None = Field(None, description="Where the first run starts; left out, at the beginning.")
    lookback: Duration = Field(
        timedelta(0), description="How far before the last record to start again, such as `1h`."
    )
    format: Format = Field(
        "iso8601",
        description="How times are written in requests: `iso8601`, `date`, `epoch_s`, `epoch_ms`, `epoch_us`, `integer` or a "
        "strptime pattern.",
    )
    field_format: Format | None = Field(
        None, description="How they are written in `field`; left out, like `format`."
    )
    end_param: Text | None = Field(None, description="What carries the time up to which is asked.")
    end: Text | None = Field(None, description="Where the source ends; left out, now.")
    step: Duration | None = Field(
        None, gt=timedelta(0), description="Ask for slices of this length one by one, such as `1d`."
    )
    order: Literal["any", "ascending"] = Field(
        "any", description="`ascending`: records come sorted by `field`, and each page moves the mark."
    )
    nulls: Literal["include", "reject"] = Field(
        "include", description="What becomes of records without a readable `field`."
    )

    @property
    def bounded(self) -> bool:
        """Whether requests say up to which time they ask."""
        return self.end_param is not None or (self.template is not None and UNTIL in self.template)

    def asked(self) -> dict[str, Any]:
        """What decides where a mark stands and what is asked with it. The rest may change while a mark is kept."""
        return self.model_dump(include=_ASKED, by_alias=True)

    @property
    def version_format(self) -> str:
        return self.field_format or self.format

    @model_validator(mode="after")
    def _consistent(self) -> Incremental:
        refuse_all([*self._without_param(), *self._of_places(), *self._of_times()])
        return self

    def _without_param(self) -> list[Refusal]:
        if self.param is not None:
            return []
        alone = {"field", "format", "field_format", "nulls"}
        return [
            Refusal("needs param", (_alias(name),))
            for name in sorted(self.model_fields_set - alone - {"param"})
        ]

    def _of_places(self) -> list[Refusal]:
        found = []
        names = {"param": self.param, "end_param": self.end_param}
        for name, given in names.items():
            if given is not None and self.in_ == "header" and not is_header_name(given):
                found.append(Refusal(NOT_A_HEADER_NAME, (name,)))
        if self.end_param is not None and self.end_param == self.param:
            found.append(Refusal("must differ from param", ("end_param",), "Or write both into a template"))
        if self.template is not None:
            placeholders = set(_PLACEHOLDER.findall(self.template))
            if SINCE not in placeholders or placeholders - {SINCE, UNTIL}:
                found.append(
                    Refusal("must contain {since}, and nothing in braces but that and {until}", ("template",))
                )
        return found

    def _of_times(self) -> list[Refusal]:
        found = []
        if (self.format == INTEGER) != (self.version_format == INTEGER):
            found.append(Refusal("must be integer in both of format and field_format", ("field_format",)))
        if self.format == INTEGER and self.lookback:
            found.append(Refusal("needs times, which integers are not", ("lookback",)))
        if self.end is not None and not self.bounded:
            found.append(Refusal("needs end_param, or {until} in a template", ("end",)))
        if self.format == INTEGER and self.bounded and self.end is None:
            found.append(Refusal("needs end: integers have no now", ("end_param",)))
        for name, given in {"initial": self.initial, "end": self.end}.items():
            if given is not None and read_bound(given, self.format) is None:
                found.append(Refusal(f"cannot be read as {self.format}", (name,)))
        return found + self._of_slices()

    def _of_slices(self) -> list[Refusal]:
        if self.step is None:
            return []
        found = []
        if self.format == INTEGER:
            found.append(Refusal("needs times, which integers are not", ("step",)))
        if not self.bounded:
            found.append(Refusal("needs end_param, or {until} in a template", ("step",)))
        if self.initial is None:
            found.append(Refusal("needs initial, where the first slice begins", ("step",)))
        if self.format == "date" and self.step % _DAY:
            found.append(Refusal("must be whole days where format is date", ("step",)))
        if self.order == "ascending":
            found.append(Refusal("does not go with step: each slice keeps its own progress", ("order",)))
        return found


def read_bound(text: str, form: str) -> int | None:
    """The moment of `initial` or `end`: as requests write it or, where that is a time, in ISO 8601; None if it is neither."""
    readers = [format_named(form).read, *([read_iso8601] if form != INTEGER else [])]
    for read in readers:
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    return None


def misplaced(declared: Incremental, method: str, body: Any, paging: Sequence[str]) -> list[Refusal]:
    """What does not fit the rest of an API: its *method*, its *body*, the parameters of its *paging*."""
    names = {"param": declared.param, "end_param": declared.end_param}
    if declared.in_ == "query":
        twice = [key for key, name in names.items() if name in paging]
        return [Refusal("is set by pagination as well", ("incremental", key)) for key in twice]
    if declared.in_ != "body":
        return []
    if method != "POST":
        return [Refusal("body needs method: POST", ("incremental", "in"))]
    if body is not None and not isinstance(body, dict):
        return [Refusal("body needs a body that is an object", ("incremental", "in"))]
    blocked = [key for key, path in names.items() if path is not None and _is_blocked(body or {}, path)]
    message = "leads through something in body that is no object"
    return [Refusal(message, ("incremental", key)) for key in blocked]


def _is_blocked(body: Any, path: str) -> bool:
    inside = body
    for name in path.split(".")[:-1]:
        inside = inside.get(name, {})
        if not isinstance(inside, dict):
            return True
    return False


def _alias(name: str) -> str:
    return Incremental.model_fields[name].alias or name
