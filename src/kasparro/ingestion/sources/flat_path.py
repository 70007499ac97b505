"""Lists in lists, followed through the text: `orders[].lines[]` leads to each line, as it was received, and what it takes along.

The meaning is that of the JMESPath expression: `[]` goes on with every element, elements that are lists are laid open once, and
where there is nothing, or null, there is no record. `selector` compiles the paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from kasparro.core.etl_config import CARRIED
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_records import Document, Element, Flaw

_NAME: Final = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
_FLAT: Final = re.compile(rf"(?:{_NAME}(?:\.{_NAME})*)?\[\](?:\.{_NAME}(?:\[\])?)*")
_STEP: Final = re.compile(rf"{_NAME}|\[\]")
_UP: Final = "^."

Step = str | None
"""The name of a member; `None`: each element."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that is carried: its name, how many lists further out it stands, and the path to it."""

    name: bytes
    up: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlatPath:
    """`lead` goes to the outermost list, `steps` on from each of its elements."""

    lead: tuple[str, ...]
    steps: tuple[Step, ...]
    carried: tuple[Carried, ...] = ()

    @property
    def carries_from_answer(self) -> bool:
        """Whether something is carried from outside of the outermost list."""
        levels = 1 + self.steps[:-1].count(None) if self.steps else 0
        return any(carried.up >= levels for carried in self.carried)

    def records(self, outer: Element, answer: bytes = b"{}") -> Iterator[Element]:
        """The records in one element of the outermost list of *answer*; an element that is no JSON is one bad record."""
        if isinstance(outer, Flaw):
            yield outer
            return
        inner = json_records.elements(outer) if json_records.is_array(outer) else [outer]
        yield from self._each(inner, self.steps, (answer,))

    def _each(
        self, elements: Sequence[Element], steps: Sequence[Step], parents: tuple[bytes, ...]
    ) -> Iterator[Element]:
        member = b"" if steps else self._member(parents)
        for element in elements:
            if isinstance(element, Flaw):
                yield element
            elif steps:
                yield from self._inside(element, steps, (*parents, element))
            elif element != b"null":
                yield _with(element, member)

    def _inside(self, element: bytes, steps: Sequence[Step], parents: tuple[bytes, ...]) -> Iterator[Element]:
        names = tuple(step for step in _until_list(steps) if step is not None)
        found = json_records.read_document(element).follow(names)
        rest = steps[len(names) :]
        if found is None or found == b"null":
            return
        if not rest:
            yield _with(found, self._member(parents))
        else:
            inner = json_records.elements(found) if json_records.is_array(found) else [found]
            yield from self._each(inner, rest[1:], parents)

    def _member(self, parents: tuple[bytes, ...]) -> bytes:
        """What is carried out of *parents*, outermost first, as a member of an object."""
        if not self.carried:
            return b""
        found = []
        for carried in self.carried:
            parent = parents[-1 - carried.up] if carried.up < len(parents) else b"{}"
            text = json_records.read_document(parent).follow(carried.path)
            if text is not None:
                found.append(carried.name + b":" + text)
        return b'"' + CARRIED.encode() + b'":{' + b",".join(found) + b"}"


def flat_path(text: str, carry: Mapping[str, str]) -> FlatPath | None:
    """Compile *text*; `None` when it is another kind of expression."""
    if not _FLAT.fullmatch(text):
        return None
    steps = [None if step == "[]" else step.strip('"') for step in _STEP.findall(text)]
    first = steps.index(None)
    lead = tuple(step for step in steps[:first] if step is not None)
    return FlatPath(lead, tuple(steps[first + 1 :]), tuple(_carried(*item) for item in carry.items()))


def explode(path: FlatPath, document: Document) -> list[Element] | None:
    """The records of a whole answer; `None` where there is no list."""
    text = document.follow(path.lead)
    if text is None or not json_records.is_array(text):
        return None
    return [record for outer in json_records.elements(text) for record in path.records(outer, document.text)]


def _carried(name: str, path: str) -> Carried:
    up = 0
    while path.startswith(_UP):
        up, path = up + 1, path.removeprefix(_UP)
    names = tuple(name.strip('"') for name in re.findall(_NAME, path))
    return Carried(msgspec.json.encode(name), up, names)


def _until_list(steps: Sequence[Step]) -> Sequence[Step]:
    return steps[: steps.index(None)] if None in steps else steps


def _with(record: bytes, member: bytes) -> bytes:
    """*record* with one *member* more, behind its own, which stay as they are."""
    if not member or not json_records.is_object(record):
        return record
    own = record.rstrip()[:-1]
    return own + (b"," if own.strip()[1:].strip() else b"") + member + b"}"
