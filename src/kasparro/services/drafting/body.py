"""Where the records of an answer are: its body in, the records and the path to them out. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

USUAL: Final = ("results", "data", "items")
_DEEPEST: Final = 4
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Found:
    """The records, the path to them (None: the answer itself is the list), and how that was seen."""

    records: list[dict[str, Any]]
    path: str | None
    why: str


def step(name: str) -> str:
    """A name as a step of a JMESPath expression."""
    return name if _WORD.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def records_of(body: Any) -> Found:
    """The list of objects that is most likely meant: one with a usual name, else the longest, the outer one first."""
    if isinstance(body, list):
        return Found(_objects(body), None, f"the answer is a list of {len(body)}")
    if not isinstance(body, dict):
        return Found([], "[@]", "the answer is neither a list nor an object: look at it")
    lists = list(_lists(body, (), 1))
    filled = [(path, found) for path, found in lists if _objects(found)]
    if filled:
        path, found = max(filled, key=lambda one: (_is_usual(one[0]), len(_objects(one[1])), -len(one[0])))
        return Found(
            _objects(found), ".".join(map(step, path)), f"the list of {len(found)} objects in the answer"
        )
    empty = [path for path, found in lists if not found]
    if empty:
        path = max(empty, key=lambda one: (_is_usual(one), -len(one)))
        return Found(
            [], ".".join(map(step, path)), "the answer has a list here, and it is empty: check the request"
        )
    return Found([body], "[@]", "the answer has no list of objects: it is taken for one record")


def _is_usual(path: tuple[str, ...]) -> bool:
    return len(path) == 1 and path[0] in USUAL


def _objects(found: list[Any]) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)]


def _lists(
    value: dict[str, Any], path: tuple[str, ...], level: int
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for name, item in value.items():
        here = (*path, name)
        if isinstance(item, list):
            yield here, item
        elif isinstance(item, dict) and level < _DEEPEST:
            yield from _lists(item, here, level + 1)
