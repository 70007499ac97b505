"""What an application has for GraphQL, whichever way it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Scope as Connection

from kasparro.api.access import address_of, credentials_of
from kasparro.api.exchange import Exchange
from kasparro.api.feed import Feed
from kasparro.api.graphql.clients import Register
from kasparro.api.limits import network_of
from kasparro.api.reader import Reader
from kasparro.api.security import Door
from kasparro.core.config import Scope
from kasparro.core.errors import NotAllowed
from kasparro.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Host:
    """`feed` gives the feed that the application has now.

    Each `check_seconds` the key of what is open is looked at again; after `init_seconds` a connection has to have said who it is.
    """

    runtime: Runtime
    reader: Reader
    door: Door
    feed: Callable[[], Feed]
    connections: Register
    subscriptions: Register
    check_seconds: float = 15.0
    init_seconds: float = 10.0

    @classmethod
    def of(cls, runtime: Runtime, reader: Reader, door: Door, feed: Callable[[], Feed]) -> Host:
        settings = runtime.settings
        connections = Register(
            "connection", settings.graphql_connections_per_client, settings.graphql_max_connections
        )
        subscriptions = Register("subscription", settings.graphql_subscriptions_per_client)
        return cls(runtime, reader, door, feed, connections, subscriptions)

    def client_of(self, scope: Connection, exchange: Exchange) -> str:
        return exchange.caller.name or network_of(address_of(scope))

    def still_admitted(self, scope: Connection) -> Callable[[], Awaitable[None]]:
        """Raises when who sent the request of *scope* would not be let in again."""

        async def look() -> None:
            caller = await self.door.access.admit(scope, credentials_of(scope))
            if Scope.READ not in caller.scopes:
                raise NotAllowed

        return look
