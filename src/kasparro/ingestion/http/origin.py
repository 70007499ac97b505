"""The origin a source was declared for (RFC 6454: scheme, host, port), and links that must not leave it."""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

from kasparro.core.errors import ForeignOrigin, UnexpectedContent

_SENDABLE: Final = re.compile(r"(?:[!$&-;=?-Z_a-z~\[\]@]|%[0-9A-Fa-f]{2})*")


def origin_of(url: URL) -> str:
    """`https://api.example.org`, or with the port where it is not the scheme's own; case and punycode normalised."""
    return str(url.origin())


def parse_url(text: str) -> URL:
    """Read an address, relative or not; a path and query that can be sent as they stand keep their spelling.

    The origin is always normalised, and a user name and password are left out. Raises `ValueError`.
    """
    url = URL(text)
    if not _SENDABLE.fullmatch(text):
        return url.with_user(None) if url.absolute else url
    verbatim = URL(text, encoded=True)
    return URL(str(url.origin()) + verbatim.raw_path_qs, encoded=True) if url.absolute else verbatim


def resolve_link(link: str, base: URL, what: str) -> URL:
    """Where *link*, received in the answer to *base*, leads. Raises `ForeignOrigin` when that is another origin.

    *what* names the link in the error, such as "the next page".
    """
    link = link.strip()
    try:
        url = base.join(parse_url(f"{base.scheme}:{link}" if link.startswith("//") else link))
        target = origin_of(url)
    except ValueError as error:
        message = f"the link to {what} cannot be read as an address"
        raise UnexpectedContent(message, place=origin_of(base)) from error
    if target != origin_of(base):
        raise ForeignOrigin(
            f"{what} is said to be at {target}, which is not the declared origin {origin_of(base)}; nothing was sent there",
            hint=f"If {target} is right, declare the source's url there",
        )
    return url.with_fragment(None)
