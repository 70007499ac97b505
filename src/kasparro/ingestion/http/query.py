"""Query strings edited in place: what is not touched keeps the spelling it was received in. URL in, URL out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote_plus

from yarl import URL

Pairs = Iterable[tuple[str, str]]


def with_query(url: URL, pairs: Pairs) -> URL:
    """*url* with *pairs* in its query, instead of those of the same names."""
    added = list(pairs)
    names = {name for name, _ in added}
    kept = _parts(url, lambda name, _: name not in names)
    return _build(
        url, [*kept, *(f"{quote(name, safe='')}={quote(value, safe=':,')}" for name, value in added)]
    )


def without_query(url: URL, unwanted: Callable[[str, str], bool]) -> URL:
    """*url* without the parameters of which *unwanted* (name, value) says so."""
    return _build(url, _parts(url, lambda name, value: not unwanted(name, value)))


def _parts(url: URL, wanted: Callable[[str, str], bool]) -> list[str]:
    parts = (part for part in url.raw_query_string.split("&") if part)
    return [part for part in parts if wanted(*map(unquote_plus, part.partition("=")[::2]))]


def _build(url: URL, parts: list[str]) -> URL:
    bare = str(url.with_query(None).with_fragment(None))
    return URL(f"{bare}?{'&'.join(parts)}" if parts else bare, encoded=True)
