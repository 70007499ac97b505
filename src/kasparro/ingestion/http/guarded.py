"""Connections to hosts that a source named by itself: to public addresses only, checked where the connection is made.

A name is resolved once, everything it resolves to is checked, and what was checked is what is connected to: an answer of the
name server that changes in between changes nothing. `elsewhere` opens them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kasparro.core.errors import ForeignOrigin
from kasparro.ingestion.http.addresses import is_public


def refused_address(host: str, address: str) -> ForeignOrigin:
    """The error for *host*, which leads to *address*."""
    shown = host if host == address else f"{host} ({address})"
    return ForeignOrigin(
        f"the source leads to {shown}, which is not a public address and was not declared; nothing was sent there",
        hint=f"If {host} is right, name it in `redirect_hosts`, without a pattern",
    )


@dataclass(frozen=True, slots=True)
class Network:
    """Who looks up names (None: the system), and which addresses are public. Tests have a network of their own."""

    resolver: AbstractResolver | None = None
    is_public: Callable[[str], bool] = is_public

    def guarded_connector(self, **options: Any) -> aiohttp.TCPConnector:
        """A connector to public addresses alone."""
        return aiohttp.TCPConnector(
            resolver=GuardedResolver(self.resolver or aiohttp.ThreadedResolver(), self.is_public),
            socket_factory=self.public_socket,
            use_dns_cache=False,
            **options,
        )

    def public_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """A socket for a public address. The last check before a connection, and of the very address that is connected to."""
        family, kind, protocol, _, address = address_info
        if not self.is_public(str(address[0])):
            raise AddressRefused(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)


class GuardedResolver(AbstractResolver):
    """Resolves by another resolver. Raises `ForeignOrigin` if anything the name resolves to is not public."""

    def __init__(self, resolver: AbstractResolver, public: Callable[[str], bool]) -> None:
        self._resolver = resolver
        self._is_public = public

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            if not self._is_public(one["host"]):
                raise refused_address(host, one["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


class AddressRefused(OSError):
    """An address that is not public: an `OSError`, so that what connects hands it on."""
