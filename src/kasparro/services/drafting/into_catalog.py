"""A draft into the text of a catalog: behind its other sources, or in the place of one. Text in, text out; nothing else moves."""

from __future__ import annotations

from typing import Final

import yaml

from kasparro.core.errors import ConfigurationError
from kasparro.services.drafting.draft import Draft, catalog_text, source_lines

_BY_HAND: Final = "Print the draft, and put it where it belongs by hand"


def inserted(text: str, draft: Draft, *, force: bool) -> str:
    """*text* with the draft among its sources. Raises `ConfigurationError` where that cannot be done."""
    if not text.strip():
        return catalog_text(draft)
    sources = _sources(text)
    lines = text.splitlines()
    names = [key.value for key, _ in sources.value]
    indent = sources.value[0][0].start_mark.column
    new = source_lines(draft, indent)
    if draft.name not in names:
        end = _end(lines, sources)
        return "\n".join([*lines[:end], "", *new, *lines[end:], ""])
    if not force:
        raise ConfigurationError(
            f"there is a source {draft.name!r} already",
            hint="Give another --name, or replace it with --force",
        )
    at = names.index(draft.name)
    start = sources.value[at][0].start_mark.line
    follows = sources.value[at + 1][0].start_mark.line if at + 1 < len(names) else _end(lines, sources)
    end = _own_end(lines, start + 1, follows, indent)
    return "\n".join([*lines[:start], *new, *lines[end:], ""])


def _sources(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the catalog is not YAML: {error}") from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = next((value for key, value in pairs if key.value == "sources"), None)
    if not isinstance(found, yaml.MappingNode) or found.flow_style or not found.value:
        raise ConfigurationError("the catalog has no block `sources:` to add to", hint=_BY_HAND)
    return found


def _end(lines: list[str], sources: yaml.MappingNode) -> int:
    """The line behind the last source."""
    mark = sources.end_mark
    end = min(mark.line + (1 if mark.column else 0), len(lines))
    return _own_end(lines, sources.start_mark.line + 1, end, sources.value[0][0].start_mark.column)


def _own_end(lines: list[str], start: int, end: int, indent: int) -> int:
    """Where a source ends whose last line is before *end*: comments that stand no deeper than its name belong to what follows."""
    while end > start and _is_of_others(lines[end - 1], indent):
        end -= 1
    return end


def _is_of_others(line: str, indent: int) -> bool:
    inner = line.lstrip()
    return not inner or (inner.startswith("#") and len(line) - len(inner) <= indent)
