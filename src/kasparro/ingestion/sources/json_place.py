"""Where the list of records begins in a JSON answer of which only the beginning has come. `json_stream` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.json_scan import key_at, malformed, skip, value_end


def list_begins(text: bytes, names: Sequence[str] | None, usual: Sequence[str]) -> int | None:
    """The place behind the opening bracket of the list that *names* lead to; `None` when it is not in *text*.

    `None` as *names*: the answer itself, or the first of its members with one of the *usual* names that is a list. Raises
    `UnexpectedContent` for what is no JSON.
    """
    start = skip(text, 0)
    if names is None:
        return start + 1 if text[start : start + 1] == b"[" else _in_object(text, start, frozenset(usual), ())
    if not names:
        return start + 1 if text[start : start + 1] == b"[" else None
    return _in_object(text, start, frozenset(names[:1]), names[1:])


def _in_object(text: bytes, start: int, wanted: frozenset[str], rest: Sequence[str]) -> int | None:
    """Look for a member with a *wanted* name; *rest* leads on from its value."""
    if text[start : start + 1] != b"{":
        return None
    at = skip(text, start + 1)
    while at < len(text) and text[at : at + 1] != b"}":
        found = key_at(text, at)
        if found is None:
            return None
        key, value = found
        if _name(key, at) in wanted:
            inside = _inside(text, value, rest)
            if inside is not None:
                return inside
        end = value_end(text, value)
        if end is None:
            return None
        at = skip(text, end)
        if text[at : at + 1] == b",":
            at = skip(text, at + 1)
        elif at < len(text) and text[at : at + 1] != b"}":
            raise malformed(at)
    return None


def _inside(text: bytes, value: int, rest: Sequence[str]) -> int | None:
    if not rest:
        return value + 1 if text[value : value + 1] == b"[" else None
    return _in_object(text, value, frozenset(rest[:1]), rest[1:])


def _name(key: bytes, at: int) -> str:
    try:
        return str(json.loads(key, strict=False))
    except ValueError as error:
        raise UnexpectedContent(f"the answer is not JSON: the key at byte {at} cannot be read") from error
