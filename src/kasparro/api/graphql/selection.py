"""Which fields of an answer were selected, so that nothing else is asked of the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode


def selected(info: Any, *path: str) -> set[str]:
    """The names of the fields that are selected at *path* below the field that is answered, by whatever fragment."""
    raw = info._raw_info  # noqa: SLF001  # strawberry's own way is to convert the whole selection
    level: list[SelectionSetNode] = [node.selection_set for node in raw.field_nodes if node.selection_set]
    for name in path:
        level = [
            one.selection_set
            for one in _fields(level, raw.fragments)
            if one.name.value == name and one.selection_set
        ]
    return {one.name.value for one in _fields(level, raw.fragments)}


def _fields(level: Iterable[SelectionSetNode], fragments: Any) -> Iterator[FieldNode]:
    pending: list[SelectionSetNode] = list(level)
    while pending:
        for one in pending.pop().selections:
            if isinstance(one, FieldNode):
                yield one
            elif isinstance(one, FragmentSpreadNode):
                pending.append(fragments[one.name.value].selection_set)
            elif isinstance(one, InlineFragmentNode):
                pending.append(one.selection_set)
