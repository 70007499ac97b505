"""A draft declaration as a value, and as the YAML text a person goes on with: keys, what they are, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_COLUMN: Final = 48
"""Where comments begin, if the line before them is short enough."""

_WIDEST: Final = 120


@dataclass(frozen=True, slots=True)
class Line:
    """A key of the draft, and why it has this value; `off`: only suggested, as a comment."""

    key: str
    value: Any
    why: str = ""
    off: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A source as it is going to be declared. `map` are the lines of its map; `remarks` stand above it."""

    name: str
    lines: Sequence[Line]
    map: Sequence[Line] = ()
    remarks: Sequence[str] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that stand for secrets that were given, and what they stand for. It is never written anywhere."""
    notes: Sequence[str] = ()
    """What whoever asked for the draft has to know: told, and not written."""

    def with_lines(self, lines: Sequence[Line]) -> Draft:
        return Draft(self.name, lines, self.map, self.remarks, self.secrets, self.notes)


def catalog_text(draft: Draft) -> str:
    """A whole catalog with this one source."""
    return "\n".join(["sources:", *source_lines(draft, 2), ""])


def source_lines(draft: Draft, indent: int) -> list[str]:
    """The source as lines of a catalog, its name *indent* blanks in."""
    inner = indent + 2
    lines = [f"{' ' * indent}# {remark}" for remark in draft.remarks]
    lines.append(f"{' ' * indent}{draft.name}:")
    lines += [_line(one, inner) for one in draft.lines]
    if draft.map:
        heading = "map:" if any(not one.off for one in draft.map) else "# map:"
        lines.append(f"{' ' * inner}{heading}")
        lines += [_line(one, inner + 2) for one in draft.map]
    return lines


def _line(line: Line, indent: int) -> str:
    """The line with its reason beside it or, where that would be too long, above it."""
    blanks = " " * indent
    written = f"{blanks}{'# ' if line.off else ''}{scalar(line.key)}: {written_value(line.value)}"
    if not line.why:
        return written
    beside = f"{written:<{_COLUMN}}  # {one_line(line.why)}"
    return beside if len(beside) <= _WIDEST else f"{blanks}# {one_line(line.why)}:\n{written}"


def written_value(value: Any) -> str:
    """*value* as it stands in the catalog, on one line."""
    match value:
        case Mapping():
            return (
                "{" + ", ".join(f"{scalar(key)}: {written_value(item)}" for key, item in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(map(written_value, value)) + "]"
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int():
            return str(value)
        case _:
            return scalar(str(value))


def scalar(text: str) -> str:
    """*text* plain where nobody could take it for anything else, in double quotes otherwise."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    """A character within double quotes; what YAML, or an eye, would not take for itself is written as its number."""
    if character in {'"', "\\"}:
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def literal(text: str) -> str:
    """*text* so that no variable is looked for in it."""
    return text.replace("${", "$${")


def one_line(text: str) -> str:
    """*text* as a comment may hold it."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
