"""The headers that every answer has, unless it brings its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

Header = tuple[bytes, bytes]

NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""What a browser may load for an answer that is no page."""

ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", NOTHING.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
OVER_TLS: Final[tuple[Header, ...]] = (*ALWAYS, (b"strict-transport-security", b"max-age=31536000"))


def completed(own: Iterable[Header], more: Sequence[Header], scheme: str) -> list[Header]:
    """*own* and *more*, and what every answer has."""
    headers = [*own, *more]
    names = {name for name, _ in headers}
    always = OVER_TLS if scheme == "https" else ALWAYS
    headers.extend(header for header in always if header[0] not in names)
    return headers
