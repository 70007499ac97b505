"""HTTP sessions as every request of ours needs them: no cookies, no proxies from the environment, decoding left to us."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from kasparro.ingestion.http.guarded import Network
from kasparro.ingestion.http.redirects import Reach
from kasparro.ingestion.http.tls import TlsContexts

CONNECTIONS: Final = 100
_HEADER_SIZE: Final = 64 * 1024


def new_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """A session over *connector*, to be closed by the caller; decoding and redirects are left to us."""
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_field_size=_HEADER_SIZE,
        max_line_size=_HEADER_SIZE,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trust_env=False,
    )


@asynccontextmanager
async def open_session(
    connections: int = CONNECTIONS, tls: TlsContexts | None = None
) -> AsyncGenerator[aiohttp.ClientSession]:
    """A session for the hosts an operator declared. It keeps up to *connections* connections and uses them again."""
    own = (tls or TlsContexts()).own
    async with new_session(aiohttp.TCPConnector(limit=connections, ssl=own)) as session:
        yield session


class Elsewhere:
    """Sessions for hosts beyond the source's own, opened when a redirect first leads there, closed at the end.

    They know no client certificate.
    """

    def __init__(self, tls: TlsContexts, network: Network) -> None:
        self._tls = tls
        self._network = network
        self._sessions: dict[Reach, aiohttp.ClientSession] = {}

    def session(self, reach: Reach) -> aiohttp.ClientSession:
        """The one for hosts asked by the right of *reach*."""
        if reach not in self._sessions:
            self._sessions[reach] = new_session(self._connector(reach))
        return self._sessions[reach]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _connector(self, reach: Reach) -> aiohttp.TCPConnector:
        if reach is Reach.COVERED:
            return self._network.guarded_connector(ssl=self._tls.other)
        return aiohttp.TCPConnector(ssl=self._tls.other, resolver=self._network.resolver)
