"""The way of one request: from the declared origin on, redirect by redirect. A hop and what it answered in, the next hop out.

Once a redirect has led away from the origin, no credential is sent any more, not even where the way leads back: the path of that
request is of somebody else's choosing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from yarl import URL

from kasparro.core.errors import ForeignOrigin
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.origin import origin_of
from kasparro.ingestion.http.query import without_query
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.redirects import Reach, RedirectRules

MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
AWAY: Final = "no credential was sent, because a redirect had led to another host"


@dataclass(frozen=True, slots=True)
class Hop:
    """One address on the way. `bare`: nothing but the request itself is sent, neither credentials nor declared headers."""

    url: URL
    reach: Reach = Reach.HOME
    bare: bool = False

    @property
    def shown(self) -> URL:
        """The address as it may be kept: what a source adds to a foreign one is often a signature that opens it."""
        return self.url.with_query(None) if self.bare and self.url.query_string else self.url


@dataclass(frozen=True, slots=True)
class Way:
    """What the redirects of a source are judged by."""

    home: URL
    rules: RedirectRules
    credentials: Credentials
    redact: Redactor

    def onward(self, hop: Hop, location: str | None, status: int, what: str) -> Hop:
        """Where a redirect leads. Raises `ForeignOrigin` where it must not, and where it would carry a credential away."""
        url = self.rules.follow(location, status, hop.url, self.home, what)
        reach = self.rules.reach(url, self.home, what)
        if reach is Reach.HOME and not hop.bare:
            return Hop(url)
        url = without_query(url, self.credentials.belongs)
        if self.redact.shows_secret(str(url)):
            raise ForeignOrigin(
                f"{what} is said to be at {origin_of(url)}, by an address that contains the credential; nothing was sent there"
            )
        return Hop(url, reach, bare=True)
