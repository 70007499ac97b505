"""Which streams a tap has, and which of them are wanted: a declaration in, the catalog that the tap is given out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from kasparro.core.errors import TapFailed
from kasparro.core.etl_config import DISCOVER, NO_CATALOG, SingerSource
from kasparro.ingestion.singer.tap import LONGEST_LINE, running
from kasparro.ingestion.singer.workplace import Workplace

Catalog = dict[str, Any]
_SHAPE: Final = "`catalog` must be an object with a list `streams`, as `--discover` writes it"


async def catalog_of(
    declaration: SingerSource, place: Workplace, config: Sequence[str], redact: Callable[[str], str]
) -> Catalog | None:
    """The catalog with the wanted streams selected; None: the tap is given none. Raises `TapFailed`."""
    match declaration.catalog:
        case str(word) if word == NO_CATALOG:
            return None
        case str(word) if word == DISCOVER:
            text = await _discovered(declaration, place, config, redact)
            return selected(_checked(_parsed(text, "what the tap wrote for --discover")), declaration.streams)
        case str(path):
            text = await asyncio.to_thread(_read, declaration.folder, path)
            return _narrowed(_checked(_parsed(text, path)), declaration.streams)
        case Mapping() as given:
            return _narrowed(_checked(dict(given)), declaration.streams)


async def _discovered(
    declaration: SingerSource, place: Workplace, config: Sequence[str], redact: Callable[[str], str]
) -> bytes:
    found: list[bytes] = []
    size = 0
    timeout = declaration.timeout.total_seconds()
    async with running(place, [*config, "--discover"], declaration.name, timeout, redact) as tap:
        async for lines in tap.lines():
            found += lines
            size += sum(map(len, lines))
            if size > LONGEST_LINE:
                raise TapFailed(f"the tap's catalog is larger than {LONGEST_LINE >> 20} MiB")
        if (failure := await tap.outcome()) is not None:
            failure.hint = "If the tap does not know --discover: `catalog: none`, or a file with its catalog"
            raise failure
    return b"\n".join(found)


def _read(folder: Path, name: str) -> bytes:
    path = folder / Path(name).expanduser()
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_LINE + 1)
    except OSError as error:
        raise TapFailed(f"{path}: the catalog cannot be read ({error.strerror})") from error
    if len(text) > LONGEST_LINE:
        raise TapFailed(f"{path}: the catalog is larger than {LONGEST_LINE >> 20} MiB")
    return text


def _parsed(text: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TapFailed(f"{what} is not JSON: {error}", hint=_SHAPE) from error


def _checked(catalog: Any) -> Catalog:
    streams = catalog.get("streams") if isinstance(catalog, dict) else None
    if not isinstance(streams, list) or not all(isinstance(stream, dict) for stream in streams):
        raise TapFailed("the tap's catalog has no list of streams", hint=_SHAPE)
    return dict(catalog)


def _narrowed(catalog: Catalog, wanted: Sequence[str]) -> Catalog:
    """A catalog that was written by hand is taken as it is, unless streams are named."""
    return selected(catalog, wanted) if wanted else catalog


def selected(catalog: Catalog, wanted: Sequence[str]) -> Catalog:
    """*catalog* with the *wanted* streams (all of them, when none is named) and their fields selected, and no others.

    Raises `TapFailed` for a stream that the tap does not have.
    """
    names = {name for stream in catalog["streams"] for name in _names(stream)}
    if missing := [name for name in wanted if name not in names]:
        raise TapFailed(
            f"the tap has no stream {', '.join(missing)}",
            hint=f"It has: {', '.join(sorted(names)) or 'none'}",
        )
    chosen = [
        _selection(stream, on=not wanted or bool(_names(stream) & set(wanted)))
        for stream in catalog["streams"]
    ]
    return {**catalog, "streams": chosen}


def stream_names(catalog: Catalog) -> list[str]:
    """The names of the streams that are selected."""
    return [_name(stream) for stream in catalog["streams"] if is_selected(stream)]


def is_selected(stream: Mapping[str, Any]) -> bool:
    roots = [_inner(entry) for entry in _metadata(stream) if not entry.get("breadcrumb")]
    return any(inner.get("selected") is True for inner in roots) or stream.get("selected") is True


def _name(stream: Mapping[str, Any]) -> str:
    return str(stream.get("stream") or stream.get("tap_stream_id"))


def _names(stream: Mapping[str, Any]) -> set[str]:
    return {name for key in ("stream", "tap_stream_id") if isinstance(name := stream.get(key), str)}


def _selection(stream: Catalog, *, on: bool) -> Catalog:
    """The stream selected or not, in both ways that taps look for it; a field that somebody left out stays out."""
    entries = [entry for entry in _metadata(stream) if entry.get("breadcrumb")]
    root = next((_inner(entry) for entry in _metadata(stream) if not entry.get("breadcrumb")), {})
    fields = [{**entry, "metadata": _field(_inner(entry), on=on)} for entry in entries]
    metadata = [{"breadcrumb": [], "metadata": {**root, "selected": on}}, *fields]
    return {**stream, "selected": on, "metadata": metadata}


def _field(metadata: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
    left_alone = not on or "selected" in metadata or metadata.get("inclusion") == "unsupported"
    return dict(metadata) if left_alone else {**metadata, "selected": True}


def _metadata(stream: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = stream.get("metadata")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _inner(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = entry.get("metadata")
    return inner if isinstance(inner, dict) else {}
