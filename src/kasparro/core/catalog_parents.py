"""Sources that need others: the declarations of a catalog in; parents that do not exist and circles, by place, out."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping

from kasparro.core.declarations.any_source import SourceDeclaration
from kasparro.core.yaml_tree import Place


def parent_faults(
    sources: Mapping[str, SourceDeclaration], written: Collection[str]
) -> Iterator[tuple[Place, str]]:
    """What is wrong; *written* are the names of all sources, of those too that could not be read."""
    parents = {name: parent for name, declared in sources.items() for parent in declared.needs()}
    for name, parent in parents.items():
        place: Place = ("sources", name, "parent", "source")
        if parent not in written:
            near = difflib.get_close_matches(parent, written, n=1)
            yield place, f"there is no source of this name{f'. Did you mean {near[0]!r}?' if near else ''}"
        circle = _circle(name, parents)
        if circle:
            yield place, f"is a circle: {' -> '.join(circle)}"


def _circle(name: str, parents: Mapping[str, str]) -> list[str]:
    """The way from *name* back to itself; empty where there is none."""
    way = [name]
    while (following := parents.get(way[-1])) is not None:
        if following == name:
            return [*way, name]
        if following in way:
            return []  # another's circle, which is told there
        way.append(following)
    return []
