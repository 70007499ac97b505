"""Who asks: an API key of the settings or of the database, a token, or, without any of these, whoever is on this machine.

`security` asks about every request. A key of the settings is checked here; the others by the verifiers, which are given.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from starlette.types import Scope as Connection

from kasparro.api.exchange import Caller
from kasparro.api.grants import GRANTS
from kasparro.core.config import Scope, Settings
from kasparro.core.errors import NotAllowed, NotAuthenticated

OPEN_PATHS: Final = frozenset({"/health", "/health/live", "/health/ready"})
HOST: Final = re.compile(r"(?P<name>localhost|[0-9.]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HOW_TO_AUTHENTICATE: Final = "Send it as X-API-Key: <key> or Authorization: Bearer <key>"

Verifier = Callable[[bytes], Awaitable[Caller | None]]
"""Says who has a secret; None when it is not known. Raises when that cannot be told."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about who sends it. `secrets` are all the keys that were sent, whichever way."""

    secrets: tuple[bytes, ...]
    hosts: tuple[str, ...]
    origins: tuple[str, ...]


def credentials_of(scope: Connection) -> Credentials:
    secrets: list[bytes] = []
    hosts: list[str] = []
    origins: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            secrets.append(value)
        elif name == b"authorization":
            kind, _, key = value.partition(b" ")
            if kind.lower() == b"bearer":
                secrets.append(key.strip())
        elif name == b"host":
            hosts.append(value.decode("latin-1"))
        elif name == b"origin":
            origins.append(value.decode("latin-1"))
    return Credentials(tuple(secrets), tuple(hosts), tuple(origins))


def may_do_without(settings: Settings, method: str, path: str) -> bool:
    """Whether a route that takes a key is served without one, too, as this process is set up."""
    reads = method in SAFE_METHODS and settings.public_read
    return not settings.keys_are_needed or reads or (settings.metrics_public and path == "/metrics")


class Access:
    """The keys of the settings, kept as digests, and who is let in."""

    def __init__(self, settings: Settings, verifiers: Sequence[Verifier] = ()) -> None:
        self.needs_keys = settings.keys_are_needed
        self._keys = tuple(
            (_digest(secret.encode()), scope, f"env_{number}")
            for number, (secret, scope) in enumerate(settings.api_keys.items(), start=1)
        )
        self._verifiers = tuple(verifiers)
        self._anonymous = Caller(GRANTS[Scope.READ] if settings.public_read else frozenset(), lasting=True)
        self._open = dict.fromkeys(OPEN_PATHS, Caller())
        if settings.metrics_public:
            self._open["/metrics"] = Caller(GRANTS[Scope.READ])
        self._origins = frozenset(settings.cors_origins)

    async def admit(self, scope: Connection, credentials: Credentials) -> Caller:
        """Say who sent the request. Raises `NotAuthenticated` or `NotAllowed`, and what the verifiers raise."""
        if not self.needs_keys:
            return self._on_this_machine(scope, credentials)
        secrets = set(credentials.secrets)
        known = await self._known(secrets.pop()) if len(secrets) == 1 else None
        if known is not None:
            return known
        if (welcome := self._open.get(scope["path"])) is not None:
            return welcome
        if credentials.secrets:
            raise NotAuthenticated("this API key is not known", hint=HOW_TO_AUTHENTICATE)
        if not self._anonymous.scopes:
            raise NotAuthenticated(hint=HOW_TO_AUTHENTICATE)
        return self._anonymous

    async def _known(self, secret: bytes) -> Caller | None:
        """Every key of the settings is compared, in constant time, whichever of them fits."""
        digest = _digest(secret)
        found = [(scope, name) for known, scope, name in self._keys if hmac.compare_digest(known, digest)]
        if found:
            scope, name = found[0]
            return Caller(GRANTS[scope], has_key=True, name=name, lasting=True)
        for verify in self._verifiers:
            if (caller := await verify(secret)) is not None:
                return caller
        return None

    def _on_this_machine(self, scope: Connection, credentials: Credentials) -> Caller:
        """Without keys: only who sits on this machine, under a name of this machine, and is not a page of another site.

        The name defeats DNS rebinding: a site that points its own name at 127.0.0.1 still sends its own name.
        """
        peer = scope.get("client")
        if peer is None or not _is_loopback(peer[0]):
            raise NotAllowed(
                "without API_KEYS only this machine is served", hint="Set API_KEYS on the server"
            )
        if not all(_names_this_machine(host) for host in credentials.hosts or [""]):
            raise NotAllowed(
                "without API_KEYS this server answers to localhost only", hint="Ask http://localhost:<port>"
            )
        if scope["method"] not in SAFE_METHODS:
            self._refuse_other_sites(scope, credentials)
        return Caller(GRANTS[Scope.ADMIN], lasting=True)

    def _refuse_other_sites(self, scope: Connection, credentials: Credentials) -> None:
        own = f"{scope['scheme']}://{credentials.hosts[0] if credentials.hosts else ''}"
        for origin in credentials.origins:
            if origin != own and origin not in self._origins:
                raise NotAllowed("a page of another site may not ask for this")


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


def address_of(scope: Connection) -> str:
    client: tuple[Any, ...] | None = scope.get("client")
    return str(client[0]) if client else ""
