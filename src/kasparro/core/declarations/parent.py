"""A source that is asked once for each record of another: `parent`, and the `{placeholders}` that carry its values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, StringConstraints

from kasparro.core.declarations.base import Declaration, Refusal, refuse
from kasparro.core.declarations.expressions import Expression

CARRIED: Final = "_parent"
"""The member under which a child record holds what it has of its parent."""

PARENT_KEY: Final = "key"
"""The member of that which holds the parent's external_id."""

PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ORIGIN: Final = re.compile(r"[A-Za-z]+://[^/?]*")

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


def _by_name(value: Any) -> Any:
    """A list of names stands for the fields of these names."""
    return {name: name for name in value} if isinstance(value, list) else value


class Parent(Declaration):
    """The source whose records are gone through, and what of them is used."""

    source: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = Field(
        description="The source whose records this one is fetched for, one after the other."
    )
    params: dict[_Name, Expression] = Field(
        min_length=1,
        description="Placeholders of `url`, `params`, `headers` and `body`, each with JMESPath into the parent's record.",
    )
    include: Annotated[
        dict[_Name, Expression],
        BeforeValidator(_by_name, json_schema_input_type=dict[_Name, Expression] | list[_Name]),
    ] = Field(
        default_factory=dict,
        description="Fields of the parent that each record carries under `_parent`: names, or names and JMESPath.",
    )
    unique_key: bool = Field(
        False,
        description="Whether `key` identifies a record among those of all parents, without the parent's.",
    )
    changed_only: bool = Field(
        False,
        description="Whether only parents are asked for that have changed since the last complete fetch.",
    )


def placeholders(value: Any) -> set[str]:
    """The names in braces in a text, or in the texts of a list or a mapping."""
    match value:
        case str():
            return set(PLACEHOLDER.findall(value))
        case Mapping():
            return {name for inner in value.values() for name in placeholders(inner)}
        case list() | tuple():
            return {name for inner in value for name in placeholders(inner)}
        case _:
            return set()


def check_parent(parent: Parent, texts: Mapping[str, Any]) -> None:
    """Refuse placeholders that nothing fills, values that go nowhere, and a url whose origin a parent would decide on.

    *texts* are the keys of the source in which there may be placeholders.
    """
    url = texts["url"]
    origin = _ORIGIN.match(url)
    if origin is not None and placeholders(origin[0]):
        refuse("must not take its host or port from a parent", at=("url",))
    faults = [*_unfilled(parent, url), *_unused(parent, texts)]
    if PARENT_KEY in parent.include:
        faults.append(
            Refusal("is there already: the parent's external_id", ("parent", "include", PARENT_KEY))
        )
    for fault in faults[:1]:
        refuse(fault.message, at=fault.at, hint=fault.hint)


def _unfilled(parent: Parent, url: str) -> Iterator[Refusal]:
    for name in sorted(placeholders(url) - parent.params.keys()):
        yield Refusal(f"has the placeholder {{{name}}}, which is not among parent.params", ("url",))


def _unused(parent: Parent, texts: Mapping[str, Any]) -> Iterator[Refusal]:
    used = placeholders(texts)
    for name in parent.params:
        if name not in used:
            yield Refusal(
                "is used nowhere",
                ("parent", "params", name),
                f"Write {{{name}}} in url, params, headers or body",
            )
