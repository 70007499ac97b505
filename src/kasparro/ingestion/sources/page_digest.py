"""What a page is known by when it comes again: its records in, a digest out that does not depend on their order.

The same records are those with the same keys: some servers write the time of the answer, or a counter, into each. Where keys
do not tell the records of a page apart, their texts count. `answers` makes one for each source, `loops` compares what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.identity import DEFAULT_KEY, identifier
from kasparro.ingestion.paths import DOTTED
from kasparro.ingestion.sources.json_records import Element, Flaw
from kasparro.schemas.ingest import ApiOrigin, Keyed, RawRecord

_NOWHERE: Final = ApiOrigin("", 0, 0)
_BITS: Final = 64

Texts = Sequence[bytes]
Keys = Callable[[Texts], Sequence[Hashable] | None]


class PageDigest:
    """Of the pages of one source."""

    def __init__(self, declaration: ApiSource) -> None:
        paths = declaration.key or (DEFAULT_KEY,)
        self._keys = _read_keys(paths) if _are_plain(paths) else _identified(declaration)

    def __call__(self, elements: Sequence[Element]) -> bytes | None:
        """`None` where there are no records."""
        contents = Contents()
        texts = texts_of(elements)
        keys = self._keys(texts)
        contents.add(texts if keys is None or len(set(keys)) < len(texts) else keys)
        return contents.digest()


class Contents:
    """The sum of what it is given, piece by piece. It holds within this process: Python's hashes begin with chance."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    def add(self, some: Sequence[Hashable]) -> None:
        self._count += len(some)
        self._sum += sum(map(hash, some))

    def digest(self) -> bytes | None:
        if not self._count:
            return None
        return b"%d %d" % (self._count, self._sum % 2**_BITS)


def texts_of(elements: Iterable[Element]) -> list[bytes]:
    return [element.payload if isinstance(element, Flaw) else element for element in elements]


def _are_plain(paths: Sequence[str]) -> bool:
    """Names with dots between them, none of which leads into what another takes whole."""
    nested = any(other.startswith(f"{path}.") for path in paths for other in paths)
    return not nested and all(map(DOTTED.fullmatch, paths))


def _read_keys(paths: Sequence[str]) -> Keys:
    """Reads what stands at *paths*, and nothing else of the records: the fast way."""
    steps = [tuple(path.split(".")) for path in dict.fromkeys(paths)]
    read = msgspec.json.Decoder(_struct(steps)).decode
    get = attrgetter(*(".".join(map(_attribute, names)) for names in steps))

    def keys(texts: Texts) -> Sequence[Hashable] | None:
        try:
            found = map(get, map(read, texts))
            return list(map(bytes, found)) if len(steps) == 1 else [tuple(map(bytes, key)) for key in found]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    return keys


def _struct(paths: Sequence[tuple[str, ...]]) -> type[msgspec.Struct]:
    """A struct that has what stands at *paths*, as text."""
    below: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).extend([tuple(rest)] if rest else [])
    fields: list[tuple[str, Any]] = [
        (_attribute(name), _struct(inner) if inner else msgspec.Raw) for name, inner in below.items()
    ]
    return msgspec.defstruct("Key", fields, rename={_attribute(name): name for name in below}, gc=False)


def _attribute(name: str) -> str:
    return f"c_{name}"


def _identified(declaration: ApiSource) -> Keys:
    """By expressions: the way of a run. A parent's key is the same in all its records, and is not yet in them here."""
    identify = identifier(declaration.model_copy(update={"parent": None}))

    def keys(texts: Texts) -> Sequence[Hashable]:
        found = identify([RawRecord(text, _NOWHERE) for text in texts])
        return [one.external_id for one in found if isinstance(one, Keyed)]

    return keys
