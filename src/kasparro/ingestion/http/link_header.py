"""The `Link` header (RFC 8288, section 3): its text in, targets by relation out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TARGET: Final = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER: Final = re.compile(
    r"""\s*;\s*(?:([!#$&+\-.^_`|~0-9A-Za-z]+)\*?\s*(?:=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;,"]*)))?)?""",
    re.DOTALL,
)
_TO_NEXT_LINK: Final = re.compile(r"""(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[^,"])*+[\s,]*+""", re.DOTALL)


def link_target(header: str, relation: str) -> str | None:
    """The target of the first link with *relation* among its `rel`; relations do not know capital letters."""
    return next((target for target, relations in links(header) if relation in relations), None)


def links(header: str) -> Iterator[tuple[str, list[str]]]:
    """Every link with its relations. What cannot be read is passed over, and a header of any length in one go."""
    position, last = 0, header.rfind(">")
    while position <= last:
        target = _TARGET.match(header, position)
        if target is None:
            position = _skip(header, position)
            continue
        relations, position = _relations(header, target.end())
        yield target[1].strip(), relations
        position = _skip(header, position)


def _relations(header: str, position: int) -> tuple[list[str], int]:
    """The first `rel` counts, later ones are ignored (section 3.3). A link with an `anchor` is none of this answer (3.2)."""
    relations: list[str] | None = None
    elsewhere = False
    while parameter := _PARAMETER.match(header, position):
        name, quoted, bare = parameter.groups()
        if relations is None and name is not None and name.lower() == "rel":
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare or ""
            relations = value.lower().split()
        elsewhere = elsewhere or (name is not None and name.lower() == "anchor")
        position = parameter.end()
    return [] if elsewhere else relations or [], position


def _skip(header: str, position: int) -> int:
    end = _TO_NEXT_LINK.match(header, position)
    return max(end.end() if end else position, position + 1)
