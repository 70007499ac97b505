"""The door: who asks, how often they may, and what each route takes. A refusal leaves one `security.refused` in the log.

`Guard` looks at every request before anything else does and says who asks; a route says by `needs` or `OPEN` what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import structlog
from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from kasparro.api.access import (
    HOW_TO_AUTHENTICATE,
    OPEN_PATHS,
    Access,
    Credentials,
    address_of,
    credentials_of,
)
from kasparro.api.exchange import Caller, Exchange, exchange_of
from kasparro.api.headers import Header
from kasparro.api.limits import WINDOW_SECONDS, Failures, Limiter, Standing, network_of
from kasparro.api.problems import problem_of, rule_of
from kasparro.core.config import Scope
from kasparro.core.errors import KasparroError, NotAllowed, NotAuthenticated, RateLimited

log = structlog.get_logger(__name__)

SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Door:
    """What `Guard` asks, and whoever lets in connections that it does not see.

    `per_minute` is the limit of keys without one of their own and of addresses; 0: none.
    """

    access: Access
    limiter: Limiter
    failures: Failures
    per_minute: int

    async def let_in(self, scope: Connection, exchange: Exchange, credentials: Credentials) -> None:
        """Say in *exchange* who asks, and count them. Raises what they are answered when they may not."""
        spared = scope["path"] in OPEN_PATHS
        try:
            exchange.caller = await self._admit(scope, credentials, spared=spared)
        except (NotAuthenticated, NotAllowed):
            await self.count(scope, exchange)
            raise
        if not spared:
            await self.count(scope, exchange)

    async def _admit(self, scope: Connection, credentials: Credentials, *, spared: bool) -> Caller:
        """Who asks. From an address that sent too many wrong keys, no key is looked at, right or wrong."""
        access, failures = self.access, self.failures
        if not (credentials.secrets and access.needs_keys):
            return await access.admit(scope, credentials)
        network = network_of(address_of(scope))
        if spared and failures.blocked(network):
            return Caller()
        self._refuse_blocked(network)
        try:
            caller = await access.admit(scope, credentials)
        except NotAuthenticated:
            failures.note(network)
            raise
        except KasparroError:
            if spared:
                return Caller()
            raise
        if not caller.has_key:
            failures.note(network)
        return caller

    async def count(self, scope: Connection, exchange: Exchange) -> None:
        """Count the request for its key, else for its address. Raises `RateLimited`."""
        who = self.counted(scope, exchange.caller)
        if who.per_minute:
            who.refuse(exchange, await self.limiter.take(who.name, who.per_minute))

    def count_again(self, who: Counted, exchange: Exchange) -> bool:
        """What those who were let in before have to pass, at once; False where counting takes a while. Raises `RateLimited`."""
        if exchange.caller.has_key:
            self._refuse_blocked(who.network)
        if not who.per_minute:
            return True
        standing = self.limiter.take_here(who.name, who.per_minute)
        if standing is not None:
            who.refuse(exchange, standing)
        return standing is not None

    def counted(self, scope: Connection, caller: Caller) -> Counted:
        network = network_of(address_of(scope))
        policy = "key" if caller.name else "address"
        return Counted(
            network, policy, f"{policy}:{caller.name or network}", caller.per_minute or self.per_minute
        )

    def _refuse_blocked(self, network: str) -> None:
        if seconds := self.failures.blocked(network):
            raise RateLimited("too many wrong keys were sent from this address", retry_after=seconds)


@dataclass(frozen=True, slots=True)
class Counted:
    """For whom a request is counted, and how many there may be in a minute; 0: any number."""

    network: str
    policy: str
    name: str
    per_minute: int

    def refuse(self, exchange: Exchange, standing: Standing) -> None:
        """Say in *exchange* how they stand. Raises `RateLimited` where they may not."""
        exchange.limit = limit_headers(self.policy, standing)
        if not standing.allowed:
            raise RateLimited(
                f"this {self.policy} may ask {self.per_minute} times a minute", retry_after=standing.reset
            )


def refused(scope: Connection, exchange: Exchange, error: KasparroError) -> Response:
    """The answer to who may not, or cannot be told; logged."""
    log_refusal(scope, exchange, error)
    return problem_of(exchange, error)


class Guard:
    """Says who asks, counts them, and answers by itself when they may not."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self._door = door

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        try:
            await self._door.let_in(scope, exchange, credentials_of(scope))
        except KasparroError as error:
            await refused(scope, exchange, error)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def limit_headers(policy: str, standing: Standing) -> tuple[Header, Header]:
    """`RateLimit` and `RateLimit-Policy`, structured fields (draft-ietf-httpapi-ratelimit-headers-10)."""
    told = b'"%s";r=%d;t=%d' % (policy.encode(), standing.remaining, standing.reset)
    return _policy_header(policy, standing.limit), (b"ratelimit", told)


@lru_cache(maxsize=1024)
def _policy_header(policy: str, limit: int) -> Header:
    return b"ratelimit-policy", b'"%s";q=%d;w=%d' % (policy.encode(), limit, WINDOW_SECONDS)


def log_refusal(scope: Connection, exchange: Exchange, error: KasparroError) -> None:
    """The path is left out: nobody has looked yet whether it is one of ours, and it may hold anything."""
    if rule_of(error).status >= SERVER_ERROR:
        log.error("request.not_served", code=error.code, error=str(error))
        return
    log.warning(
        "security.refused",
        code=error.code,
        reason=error.message,
        method=scope["method"][:20],
        address=address_of(scope),
        key=exchange.caller.name,
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route asks of its caller; as a dependency of the route it is checked before anything else."""

    scope: Scope | None

    async def __call__(self, request: Request) -> None:
        exchange = exchange_of(request.scope)
        caller = exchange.caller
        if self.scope is None or self.scope in caller.scopes:
            return
        error = (
            NotAllowed(f"this API key does not have the scope {self.scope.value!r}")
            if caller.has_key
            else NotAuthenticated(hint=HOW_TO_AUTHENTICATE)
        )
        log_refusal(request.scope, exchange, error)
        raise error


def needs(scope: Scope) -> Any:
    """The dependency of a route that only callers with *scope* may use."""
    return Depends(Requirement(scope))


OPEN: Final[Any] = Depends(Requirement(None))
"""The dependency of a route that anybody may use. Its path is in `OPEN_PATHS` too."""
