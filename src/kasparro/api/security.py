"""Who may do what: API keys with scopes, or, without keys, whoever is on this machine and is no web page.

`Guard` looks at every request before anything else does and says who asks; a route says by `needs` or `OPEN` what it takes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from kasparro.api.exchange import Caller, exchange_of
from kasparro.api.problems import problem_of
from kasparro.core.config import Scope, Settings
from kasparro.core.errors import NotAllowed, NotAuthenticated, RequestError

GRANTS: Final[Mapping[Scope, frozenset[Scope]]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.ADMIN: frozenset({Scope.READ, Scope.ADMIN}),
}
"""What a key of a scope may do."""

OPEN_PATHS: Final = frozenset({"/health", "/health/live", "/health/ready"})
HOST: Final = re.compile(r"(?P<name>localhost|[0-9.]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HOW_TO_AUTHENTICATE: Final = "Send it as X-API-Key: <key> or Authorization: Bearer <key>"


class Guard:
    """Asks *access* who it is that asks, and answers by itself when they may not."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        try:
            exchange.caller = self.access.admit(scope)
        except RequestError as error:
            await problem_of(exchange, error)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Access:
    """The keys of the settings, kept as digests, and who is let in."""

    def __init__(self, settings: Settings) -> None:
        self._keys = tuple((_digest(secret.encode()), scope) for secret, scope in settings.api_keys.items())
        self._anonymous = Caller(GRANTS[Scope.READ] if settings.public_read else frozenset())
        self._origins = frozenset(settings.cors_origins)

    def admit(self, scope: Connection) -> Caller:
        """Say who sent the request. Raises `NotAuthenticated` or `NotAllowed`."""
        headers = Headers(scope=scope)
        return self._with_key(scope, headers) if self._keys else self._on_this_machine(scope, headers)

    def _with_key(self, scope: Connection, headers: Headers) -> Caller:
        secrets = _secrets(headers)
        known = self._known(secrets[0]) if len(set(secrets)) == 1 else None
        if known is not None:
            return Caller(GRANTS[known], has_key=True)
        if scope["path"] in OPEN_PATHS:
            return Caller()
        if secrets:
            raise NotAuthenticated("this API key is not known", hint=HOW_TO_AUTHENTICATE)
        if not self._anonymous.scopes:
            raise NotAuthenticated(hint=HOW_TO_AUTHENTICATE)
        return self._anonymous

    def _known(self, secret: bytes) -> Scope | None:
        """The scope of a key. Every key is compared, in constant time, whichever of them fits."""
        digest = _digest(secret)
        found = [scope for known, scope in self._keys if hmac.compare_digest(known, digest)]
        return found[0] if found else None

    def _on_this_machine(self, scope: Connection, headers: Headers) -> Caller:
        """Without keys: only who sits on this machine, under a name of this machine, and is not a page of another site.

        The name defeats DNS rebinding: a site that points its own name at 127.0.0.1 still sends its own name.
        """
        peer = scope.get("client")
        if peer is None or not _is_loopback(peer[0]):
            raise NotAllowed(
                "without API_KEYS only this machine is served", hint="Set API_KEYS on the server"
            )
        if not all(_names_this_machine(host) for host in headers.getlist("host") or [""]):
            raise NotAllowed(
                "without API_KEYS this server answers to localhost only", hint="Ask http://localhost:<port>"
            )
        if scope["method"] not in SAFE_METHODS:
            self._refuse_other_sites(scope, headers)
        return Caller(GRANTS[Scope.ADMIN])

    def _refuse_other_sites(self, scope: Connection, headers: Headers) -> None:
        own = f"{scope['scheme']}://{headers.get('host')}"
        for origin in headers.getlist("origin"):
            if origin != own and origin not in self._origins:
                raise NotAllowed("a page of another site may not ask for this")


def _secrets(headers: Headers) -> list[bytes]:
    """Every key that was sent, whichever way."""
    bearers = (value.partition(" ") for value in headers.getlist("authorization"))
    sent = headers.getlist("x-api-key") + [
        key.strip() for kind, _, key in bearers if kind.lower() == "bearer"
    ]
    return [key.encode("latin-1") for key in sent]


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _names_this_machine(host: str) -> bool:
    """Whether a Host header (name, perhaps with a port) can only mean this machine."""
    parts = HOST.fullmatch(host)
    name = parts["name"].strip("[]") if parts else ""
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route asks of its caller; as a dependency of the route it is checked before anything else."""

    scope: Scope | None

    async def __call__(self, request: Request) -> None:
        caller = exchange_of(request.scope).caller
        if self.scope is None or self.scope in caller.scopes:
            return
        if not caller.has_key:
            raise NotAuthenticated(hint=HOW_TO_AUTHENTICATE)
        raise NotAllowed(f"this API key does not have the scope {self.scope.value!r}")


def needs(scope: Scope) -> Any:
    """The dependency of a route that only callers with *scope* may use."""
    return Depends(Requirement(scope))


OPEN: Final[Any] = Depends(Requirement(None))
"""The dependency of a route that anybody may use. Its path is in `OPEN_PATHS` too."""
