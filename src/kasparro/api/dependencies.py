"""What routes ask for: the runtime, and the exchange they are part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from kasparro.api.exchange import Exchange, exchange_of
from kasparro.api.feed import Feed
from kasparro.api.graphql.host import Host
from kasparro.api.health import HealthCheck
from kasparro.api.metrics import Metrics
from kasparro.api.reader import Reader
from kasparro.api.siblings import Siblings
from kasparro.runtime import Runtime
from kasparro.storage.measurements import Measurements


@dataclass(frozen=True, slots=True)
class Scrape:
    """What `/metrics` is made of."""

    metrics: Metrics
    measurements: Measurements
    siblings: Siblings | None = None


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _health(request: Request) -> HealthCheck:
    health: HealthCheck = request.app.state.health
    return health


async def _scrape(request: Request) -> Scrape:
    scrape: Scrape = request.app.state.scrape
    return scrape


async def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


async def _graphql(request: Request) -> Host:
    host: Host = request.app.state.graphql
    return host


async def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


async def _exchange(request: Request) -> Exchange:
    return exchange_of(request.scope)


TheRuntime = Annotated[Runtime, Depends(_runtime)]
TheHealthCheck = Annotated[HealthCheck, Depends(_health)]
TheExchange = Annotated[Exchange, Depends(_exchange)]
TheScrape = Annotated[Scrape, Depends(_scrape)]
TheReader = Annotated[Reader, Depends(_reader)]
TheFeed = Annotated[Feed, Depends(_feed)]
TheGraphql = Annotated[Host, Depends(_graphql)]
