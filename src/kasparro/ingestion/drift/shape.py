"""The accepted shape of a source's records: which fields they have, of which kinds, how often and how often without a value.

It is stored as JSON (`source_shape`) and goes on from run to run. A node is an object: the record itself, or one within it; its
fields are named as the source names them. A path is how people read it: `owner.login`, `items[].price`, of a tap `users:email`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

DEEPEST: Final = 3
"""Objects within objects that are looked into, the record itself being the first."""
MOST_FIELDS: Final = 1_000
"""Fields of a record. One that has more has data for names (dates, ids), and is no longer followed."""
MOST_INNER_FIELDS: Final = 100
"""The same for objects within it."""
MOST_EXAMPLES: Final = 8

_LONGEST_NAME: Final = 200
_QUOTED: Final = re.compile(r'[.\[\]":*]|^$')
OPEN: Final = "\0"
"""Stands for all fields of a node, in the place of a name: no name that is kept has it in it."""


class Field(msgspec.Struct):
    """`always`: every object had it. Of `objects` that were looked at, `present` had it, and `nulls` of these had no value in it.

    `kinds`: how many values of a kind have been met, up to as many as make it an accepted one. `examples` are some of its values.
    """

    always: bool
    objects: int = 0
    present: int = 0
    nulls: int = 0
    kinds: dict[str, int] = {}
    examples: list[str] = []

    @property
    def expected(self) -> bool:
        """Whether anybody would miss it."""
        return self.always or self.present > 0

    def retire(self) -> None:
        """It may come, and nobody misses it."""
        self.always, self.objects, self.present, self.nulls = False, 0, 0, 0

    @property
    def share(self) -> float:
        return self.present / self.objects if self.objects else 0.0

    @property
    def null_share(self) -> float:
        return self.nulls / self.present if self.present else 0.0


class Node(msgspec.Struct):
    """`objects` were looked at while it was learned. `open`: its names are data, and nobody is surprised by another one."""

    objects: int = 0
    open: bool = False
    fields: dict[str, Field] = {}


class Shape(msgspec.Struct):
    """`complete`: learned from a whole fetch. `thorough`: every record was looked into for that, not a sample.

    `evidence`: values that make a kind an accepted one. A JSON value says what it is; what a cell is must be inferred.
    """

    evidence: int = 1
    complete: bool = False
    thorough: bool = False
    nodes: dict[str, Node] = {}

    def node(self, path: str) -> Node:
        return self.nodes.setdefault(path, Node())


def load(text: bytes) -> Shape:
    return _decode(text)


def dump(shape: Shape) -> bytes:
    return _encode(shape)


_decode = msgspec.json.Decoder(Shape).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def most_fields(node: str) -> int:
    return MOST_FIELDS if node == "" or node.endswith(":") else MOST_INNER_FIELDS


@lru_cache(maxsize=10_000)
def join(node: str, name: str) -> str:
    """The path of the field *name* of the object at *node*; a name that could be read in another way stands in quotes."""
    named = json.dumps(name, ensure_ascii=False) if _QUOTED.search(name) else name
    return f"{_within(node)}{named}"


def all_in(node: str) -> str:
    """The path of the fields of an open node; a field that is called so stands in quotes."""
    return f"{_within(node)}*"


def _within(node: str) -> str:
    return node if node == "" or node.endswith(":") else f"{node}."


@lru_cache(maxsize=10_000)
def clean(name: str) -> str:
    """A name as PostgreSQL can hold it, and not longer than a name is."""
    storable = name.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    return storable if len(storable) <= _LONGEST_NAME else f"{storable[:_LONGEST_NAME]}…"


def places(shape: Shape, path: str) -> Iterator[tuple[str, str]]:
    """The node and the name that *path* stands for; a field that the shape does not have yet is found by its node."""
    for node in shape.nodes:
        if path == all_in(node):
            yield node, OPEN
        elif path.startswith(_within(node)):
            rest = path.removeprefix(_within(node))
            name = _unquoted(rest)
            if name is not None and join(node, name) == path:
                yield node, name


def _unquoted(text: str) -> str | None:
    if not text.startswith('"'):
        return text
    try:
        name = json.loads(text)
    except ValueError:
        return None
    return name if isinstance(name, str) else None
