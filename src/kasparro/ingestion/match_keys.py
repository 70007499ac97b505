"""When two values are the same for matching: a value of a record in, its normal form out, `None` where it says nothing. No I/O.

Documented for users in docs/entities.md. What is not sure to be the same stays different: `http` and `https`, `www.`, the query.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

PLACEHOLDERS: Final = frozenset({"n/a", "na", "none", "null", "nil", "unknown", "untitled", "tbd", "tba"})
"""Texts that say that there is none."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ftp": 21}


def text(value: str) -> str | None:
    """Compatibility forms (NFKC), case and white space do not matter. Without a letter or digit it says nothing."""
    folded = value.lower() if value.isascii() else _folded(value)
    normal = " ".join(folded.split())
    return normal if normal not in PLACEHOLDERS and any(map(str.isalnum, normal)) else None


def _folded(value: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def url(value: str) -> str | None:
    """An absolute address. Case of scheme and host, the default port, a slash at the end and the fragment do not matter."""
    try:
        parts = urlsplit(value.strip())
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if not parts.scheme or not host:
        return None
    scheme = parts.scheme.lower()
    place = host if port in {None, DEFAULT_PORTS.get(scheme)} else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{_user(parts)}{place}{parts.path.rstrip('/')}{query}{_route(parts.fragment)}"


def _user(parts: SplitResult) -> str:
    user, at, _ = parts.netloc.rpartition("@")
    return user + at


def _route(fragment: str) -> str:
    """A fragment that is a path in an application stands for another page."""
    return f"#{fragment.rstrip('/')}" if fragment.startswith(("/", "!")) and fragment.strip("/!") else ""


def moment(value: datetime) -> str | None:
    """The instant, whatever its offset; the first and last hours of the calendar have none in UTC."""
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError:
        return None


NORMAL_FORMS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "title": text,
    "description": text,
    "content": text,
    "author": text,
    "category": text,
    "url": url,
    "published_at": moment,
}
"""By field."""
