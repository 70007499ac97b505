"""YAML text in; plain values out, with the line of each. Called by `catalog_file`.

YAML 1.1 guesses types: `no` becomes false, `12:30:00` a number, `2024-01-01` a date, `007` seven. Here a plain scalar is the
text that was written, or null; the declarations say which text is a number. Only where nobody else knows (`typed`) are
`true`, `false` and numbers read, and numbers only as JSON writes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import yaml

from kasparro.core.errors import ConfigurationError, ConfigurationProblem

Place = tuple[str | int, ...]
"""Where a value stands: the keys and positions that lead to it."""

MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = "plain"
_KINDS: Final = {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}
_SCALAR_TAGS: Final = frozenset(
    {_PLAIN, *(f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null"))}
)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER: Final = 300


class Reading(Enum):
    """How the plain scalars at a place are read."""

    TEXT_OR_NULL = "text or null"
    TEXT = "text"
    JSON = "as JSON would: null, true, false, numbers"
    EXACT = "as JSON, but a number that would not be written back as it was (1.10) stays text"


@dataclass(slots=True)
class Tree:
    """A YAML document: its value, the line of each place in it, and what is wrong with it."""

    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[ConfigurationProblem] = field(default_factory=list)

    def nearest(self, place: Place) -> Place:
        """The part of *place* that exists; steps that the document does not have are left out."""
        found: Place = ()
        for step in place:
            if (*found, step) in self.lines:
                found = (*found, step)
        return found

    def line(self, place: Place) -> int:
        return self.lines.get(self.nearest(place), 1)


def parse_yaml(text: str, file: str, reading: Callable[[Place], Reading]) -> Tree:
    """Parse *text*. Raises `ConfigurationError` for what is not YAML; keys that occur twice are `problems` of the tree."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text, file) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{ord(text[error.position]):04X} is not allowed"
        raise ConfigurationError(ConfigurationProblem(message, file, line)) from error
    builder = _Builder(file, reading)
    if node is not None:
        builder.tree.value = builder.build(node, ())
    return builder.tree


class _Loader(yaml.SafeLoader):
    """Composes nodes, to a limited depth, and guesses no types."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML reads this class attribute
    depth = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:  # noqa: ARG002  # PyYAML's signature
        """Name the tag of a node that has none; *implicit* begins with whether it is a scalar without quotes."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return f"{_TAG}{_KINDS[kind]}"

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, self.get_mark())
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_TOO_DEEP: Final = f"nested more than {MAX_DEPTH} levels deep"
_TOO_MANY: Final = f"more than {MAX_NODES} values once its aliases are written out"


class _Builder:
    """Turns nodes into values. Aliases are written out, so their number is limited here."""

    def __init__(self, file: str, reading: Callable[[Place], Reading]) -> None:
        self.tree = Tree()
        self._file = file
        self._reading = reading
        self._nodes = 0

    def build(self, node: yaml.Node, place: Place) -> Any:
        self._count(node, len(place))
        self.tree.lines.setdefault(place, _line(node))
        match node:
            case yaml.MappingNode() if node.tag == f"{_TAG}map":
                return self._mapping(node, place)
            case yaml.SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.build(item, (*place, position)) for position, item in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag in _SCALAR_TAGS:
                return _scalar(node, self._reading(place))
            case _:
                self._report(
                    f"the tag {node.tag.replace(_TAG, '!!')} is not allowed; plain YAML is enough here", node
                )
                return None

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, (key_node, value_node) in self._pairs(node, len(place)).items():
            self.tree.lines[*place, key] = _line(key_node)
            values[key] = self.build(value_node, (*place, key))
        return values

    def _pairs(self, node: yaml.MappingNode, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The pairs of *node*; those it merges (`<<`) come in where it has none of its own."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            self._count(key_node, depth)
            if not isinstance(key_node, yaml.ScalarNode):
                self._report("a key must be text", key_node)
            elif key_node.value == "<<" and key_node.tag == _PLAIN:
                for mapping in self._merged(value_node):
                    merged = self._pairs(mapping, depth + 1) | merged
            elif key_node.value in own:
                first = _line(own[key_node.value][0])
                self._report(f"{key_node.value!r} is already given in line {first}", key_node)
            else:
                own[key_node.value] = (key_node, value_node)
        return merged | own

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        for candidate in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(candidate, yaml.MappingNode):
                yield candidate
            else:
                self._report("<< can only merge mappings", candidate)

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            message = _TOO_DEEP if depth > MAX_DEPTH else _TOO_MANY
            raise ConfigurationError(ConfigurationProblem(message, self._file, _line(node)))

    def _report(self, message: str, node: yaml.Node) -> None:
        self.tree.problems.append(ConfigurationProblem(message, self._file, _line(node)))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _scalar(node: yaml.ScalarNode, reading: Reading) -> Any:
    text = str(node.value)
    if node.style is not None or reading is Reading.TEXT or node.tag == f"{_TAG}str":
        return text
    if text in _NULLS:
        return None
    if reading is Reading.TEXT_OR_NULL:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    number = _number(text)
    exact = number is not None and (reading is Reading.JSON or str(number) == text)
    return number if exact else text


def _number(text: str) -> int | float | None:
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    if match is None:
        return None
    if match[1] is None and match[2] is None:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def _not_yaml(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigurationError:
    mark = error.problem_mark or error.context_mark
    index = mark.line if mark else 0
    lines = text.splitlines()
    content = lines[index] if index < len(lines) else ""
    message, hint = f"not valid YAML: {error.problem or error.context}", None
    if "\t" in content[: len(content) - len(content.lstrip())] or "'\\t'" in message:
        message, hint = "a tab cannot indent YAML", "Use spaces"
    elif error.problem == _TOO_DEEP:
        message = _TOO_DEEP
    elif "${" in content and "flow" in (error.context or ""):
        hint = 'Within {...} and [...] a variable needs quotes: "${NAME}"'
    return ConfigurationError(ConfigurationProblem(message, file, index + 1), hint=hint)
