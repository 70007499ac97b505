"""`${NAME}` and `${NAME:-default}` in values: values and variables in, values out. Called by `catalog_reader`.

It happens on values that are already parsed, so nothing a variable contains can change the structure around it, and what a
variable contains is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from kasparro.core.errors import ConfigurationError, ConfigurationProblem
from kasparro.core.yaml_tree import Place

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|)")


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its variables filled in: whether there were any, which were not set, whether one was written wrongly."""

    text: str
    from_outside: bool = False
    unset: tuple[str, ...] = ()
    malformed: bool = False


def substitute(text: str, variables: Mapping[str, str]) -> Substituted:
    """Fill the variables of *text* in. As in a shell, the default also stands in for an empty variable; `$${` is `${`."""
    if "${" not in text:
        return Substituted(text)
    unset: list[str] = []
    malformed = from_outside = False

    def fill(match: re.Match[str]) -> str:
        nonlocal malformed, from_outside
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if name is None:
            malformed = True
            return match[0]
        from_outside = True
        value = variables.get(name)
        if default is not None:
            return value or default
        if value is None:
            unset.append(name)
            return match[0]
        return value

    filled = _REFERENCE.sub(fill, text)
    return Substituted(filled, from_outside, tuple(unset), malformed)


@dataclass(slots=True)
class Filled:
    """A value with its variables filled in, and at which places there were some, unset ones, wrongly written ones."""

    value: Any = None
    from_outside: set[Place] = field(default_factory=set)
    unset: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    malformed: list[Place] = field(default_factory=list)


def fill_variables(value: Any, variables: Mapping[str, str]) -> Filled:
    """Fill the variables of all texts in *value* in; keys are left alone."""
    filled = Filled()

    def walk(inner: Any, place: Place) -> Any:
        match inner:
            case dict():
                return {key: walk(item, (*place, key)) for key, item in inner.items()}
            case list():
                return [walk(item, (*place, position)) for position, item in enumerate(inner)]
            case str():
                return note(substitute(inner, variables), place)
            case _:
                return inner

    def note(text: Substituted, place: Place) -> str:
        if text.from_outside:
            filled.from_outside.add(place)
        if text.unset:
            filled.unset[place] = text.unset
        if text.malformed:
            filled.malformed.append(place)
        return text.text

    filled.value = walk(value, ())
    return filled


def read_variables(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the `.env` file in *folder*, if there is one, and over them those of the environment.

    The values of `.env` are taken as they are written: a `$` in a password is a `$`.
    """
    file = folder / ".env"
    try:
        written = dotenv_values(file, interpolate=False) if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(ConfigurationProblem("cannot be read as UTF-8 text", str(file))) from error
    return {name: value for name, value in written.items() if value is not None} | dict(environ)
