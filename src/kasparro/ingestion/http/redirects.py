"""Where a redirect may lead: declared hosts and patterns in, a `Reach` for each address out, or a `ForeignOrigin`.

Within its origin a source may redirect as it likes. A host that is declared by its name is the operator's choice, whatever its
address is; of what only a pattern covers, the source itself makes the choice, so its address has to be public.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from yarl import URL

from kasparro.core.errors import ConfigurationError, ForeignOrigin, PermanentSourceError, UnexpectedContent
from kasparro.ingestion.http.addresses import is_plain_host
from kasparro.ingestion.http.guarded import refused_address
from kasparro.ingestion.http.origin import origin_of, parse_url

_WRITTEN: Final = re.compile(r"(?:(https?)://)?(.*?)(?::(\d+))?")
_PORTS: Final = {"https": 443, "http": 80}


class Reach(Enum):
    """By what right an address is asked."""

    HOME = "the declared origin"
    NAMED = "a host that is declared by its name"
    COVERED = "a host that a declared pattern covers"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of `redirect_hosts`. `host` may be `*` or begin with `*.`."""

    scheme: str
    host: str
    port: int

    @property
    def is_pattern(self) -> bool:
        return self.host.startswith("*")

    def covers(self, url: URL) -> bool:
        if (url.scheme, url.port) != (self.scheme, self.port):
            return False
        host = url.raw_host or ""
        if self.is_pattern:
            return self.host == "*" or host.endswith(self.host[1:])
        return host == self.host


@dataclass(frozen=True, slots=True)
class RedirectRules:
    """What is declared of redirects. The default is what a source without a word about them may do."""

    within: bool = True
    allowed: tuple[AllowedHost, ...] = ()

    def follow(self, location: str | None, status: int, base: URL, home: URL, what: str) -> URL:
        """Where the redirect *location*, in an answer with *status* to *base*, leads; it may be asked there."""
        if not self.within:
            raise PermanentSourceError(
                f"answered {status}, a redirect, and redirects are declared not to be followed",
                hint="Declare the address it redirects to, or `redirects: same_origin`",
            )
        if location is None:
            raise UnexpectedContent(f"answered {status}, a redirect, without saying where to")
        link = location.strip()
        try:
            url = base.join(parse_url(f"{base.scheme}:{link}" if link.startswith("//") else link))
            url = url.with_fragment(None)
            self.reach(url, home, what)
        except ValueError as error:
            message = f"the link to {what} cannot be read as an address"
            raise UnexpectedContent(message, place=origin_of(base)) from error
        return url

    def reach(self, url: URL, home: URL, what: str) -> Reach:
        """By what right *url* is asked. Raises `ForeignOrigin` if by none."""
        origin = origin_of(url)
        if origin == origin_of(home):
            return Reach.HOME
        covering = [host for host in self.allowed if host.covers(url)]
        if any(not host.is_pattern for host in covering):
            return Reach.NAMED
        if not covering:
            raise ForeignOrigin(
                f"{what} is said to be at {origin}, which is not the declared origin {origin_of(home)}; "
                "nothing was sent there",
                hint=f"If {origin} is right, declare the source's address there, or name it in `redirect_hosts`",
            )
        if not is_plain_host(url.raw_host or ""):
            raise refused_address(url.raw_host or "", "an address in a notation of its own")
        return Reach.COVERED


def redirect_rules(redirects: str, hosts: tuple[str, ...]) -> RedirectRules:
    """The rules that `redirects` and `redirect_hosts` declare."""
    return RedirectRules(redirects != "none", tuple(map(_allowed, hosts)))


def _allowed(text: str) -> AllowedHost:
    match = _WRITTEN.fullmatch(text)
    scheme, host, port = match.groups() if match else (None, text, None)
    scheme = scheme or "https"
    pattern = host.startswith("*")
    named = f"x{host[1:]}" if pattern else host
    try:
        spelled = URL(f"{scheme}://{named}").raw_host or named  # punycode and small letters, as in addresses
    except ValueError as error:
        raise ConfigurationError(f"redirect_hosts: {text!r} is not the name of a host") from error
    host = f"*{spelled[1:]}" if pattern else spelled
    return AllowedHost(scheme, host, int(port) if port else _PORTS[scheme])
