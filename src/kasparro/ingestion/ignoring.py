"""What of a record says whether it has changed: all of its text, or all but the paths that its source declares to ignore.

`identity` compiles a source's hash here; `services.sample_check` asks which of the declared paths lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.ingestion.values import decode_json_fields

HASH_BYTES: Final = 16

ContentHash = Callable[[bytes], bytes]
Ignored = Mapping[str, "Ignored | None"]
"""Names to leave out (`None`), or to look into."""

_no_payload: Final = blake2b(digest_size=HASH_BYTES)
"""To copy a state is cheaper than to make one."""
_SEGMENT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^.]+)')
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_CANNOT_BE_READ: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def payload_hash(payload: bytes) -> bytes:
    """128 bits of BLAKE2b (RFC 7693) over the record's text as received."""
    state = _no_payload.copy()
    state.update(payload)
    return state.digest()


def content_hash(declaration: SourceDeclaration) -> ContentHash:
    """Compile what tells a changed record from an unchanged one: its hash without what `ignore_changes` names."""
    ignored = _tree(_segments(declaration))
    if not ignored:
        return payload_hash

    def without_ignored(payload: bytes) -> bytes:
        try:
            return payload_hash(_encode(_kept(payload, ignored)))
        except _CANNOT_BE_READ:  # it becomes a reject, whatever its hash
            return payload_hash(payload)

    return without_ignored


def leading_nowhere(declaration: SourceDeclaration, payloads: Sequence[bytes]) -> list[str]:
    """The paths of `ignore_changes` that none of *payloads* has."""
    records = [_decoded(payload) for payload in payloads]
    pairs = zip(declaration.ignore_changes, _segments(declaration), strict=True)
    return [path for path, segments in pairs if not any(_has(record, segments) for record in records)]


def _segments(declaration: SourceDeclaration) -> list[tuple[str, ...]]:
    """The names of each path; in a CSV source a path is the name of a column, whatever is in it."""
    if isinstance(declaration, CsvSource):
        return [(name,) for name in declaration.ignore_changes]
    return [_names(path) for path in declaration.ignore_changes]


def _names(path: str) -> tuple[str, ...]:
    """`"a.b".c` is two names: one with dots in it stands in quotes, as in JMESPath."""
    return tuple(
        re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
        for match in _SEGMENT.finditer(path)
    )


def _tree(paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len, reverse=True):  # what is ignored whole is not looked into
        level = tree
        for name in path[:-1]:
            level = level.setdefault(name, {})
        level[path[-1]] = None
    return tree


def _kept(text: bytes | msgspec.Raw, ignored: Ignored) -> Any:
    """A JSON value without what is *ignored* in it; a path goes through lists, to each of their items."""
    match bytes(text).lstrip()[:1]:
        case b"{":
            fields = decode_json_fields(text)
            return {
                name: _kept(value, inner) if (inner := ignored.get(name)) else value
                for name, value in fields.items()
                if name not in ignored or ignored[name] is not None
            }
        case b"[":
            return [_kept(item, ignored) for item in _decode_items(text)]
        case _:
            return msgspec.Raw(text)


def _decoded(payload: bytes) -> Any:
    try:
        return msgspec.json.decode(payload)
    except _CANNOT_BE_READ:
        return None


def _has(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(_has(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])
