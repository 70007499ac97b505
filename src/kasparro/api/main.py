"""The HTTP API as an ASGI application: a `Runtime` in, an application out. Nothing happens at import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final, Protocol

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.middleware import Middleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kasparro import __version__
from kasparro.api.access import Access, Verifier, may_do_without
from kasparro.api.answer_cache import AnswerCache
from kasparro.api.bounds import Bounds
from kasparro.api.cors import ASKED, EXPOSED, Pages
from kasparro.api.dependencies import Scrape
from kasparro.api.familiar import Familiar
from kasparro.api.feed import Feed
from kasparro.api.graphql.host import Host
from kasparro.api.health import HealthCheck
from kasparro.api.key_ring import KeyRing
from kasparro.api.limits import Failures, Limiter
from kasparro.api.metrics import Metrics
from kasparro.api.middleware import ExchangeMiddleware
from kasparro.api.openapi import TAGS, DescribedApi, operation_id
from kasparro.api.problems import add_handlers
from kasparro.api.questions import Questions
from kasparro.api.reader import Reader
from kasparro.api.routes import (
    changes,
    checkpoints,
    data,
    docs,
    drift,
    entities,
    etl,
    export,
    graphql,
    health,
    index,
    lineage,
    runs,
    sources,
    stats,
)
from kasparro.api.routes import metrics as metrics_route
from kasparro.api.security import Door, Guard
from kasparro.api.served import Served
from kasparro.api.shared_cache import SharedCache
from kasparro.api.short_way import ShortWay
from kasparro.api.signing_keys import SigningKeys
from kasparro.api.tokens import Tokens
from kasparro.core import clock
from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions
from kasparro.runtime import Runtime
from kasparro.services.freshness import Freshness
from kasparro.storage.api_keys import ApiKeys
from kasparro.storage.measurements import Measurements
from kasparro.storage.versions import Versions

ROUTERS = (
    index,
    health,
    changes,
    export,
    data,
    lineage,
    stats,
    runs,
    checkpoints,
    drift,
    entities,
    sources,
    etl,
    metrics_route,
    graphql,
    docs,
)

SIDE_POOL: Final = PoolOptions(
    size=1, overflow=1, checkout=1.0, statement=2.0, lock=1.0, name="kasparro-side"
)
"""For keys and metrics, which are asked for most when the API's own pool is exhausted."""

DESCRIPTION = """One validated, unified dataset from any number of sources, and the runs that keep it fresh.

Every error is `application/problem+json` with a stable `code` and the `request_id` that is in the server's log."""


class Closeable(Protocol):
    async def close(self) -> None: ...


def create_app(runtime: Runtime) -> FastAPI:
    """The API over *runtime*, which stays open, and the caller's, as long as the application is served."""
    settings = runtime.settings
    side = Database(runtime.url, SIDE_POOL)
    ring = KeyRing(ApiKeys(side), clock.monotonic, clock.now)
    limiter = Limiter(_secret(settings.redis_url), clock.epoch)
    reader = _reader(runtime)
    pools = {
        "api": runtime.database,
        "ingest": runtime.writer,
        "side": side,
        "versions": reader.versions.database,
    }
    metrics = Metrics(pools, reader)
    door = Door(
        Access(settings, _verifiers(settings, ring)),
        limiter,
        Failures(settings.auth_failures_per_minute, clock.epoch),
        settings.requests_per_minute,
    )
    health = HealthCheck(runtime.url, _watched(runtime), reader.freshness)
    feed = Feed(runtime.changes, runtime.url)
    app = DescribedApi(
        title="Kasparro",
        version=__version__,
        description=DESCRIPTION,
        contact={"name": "Whoever runs this server"},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "This server"}],
        openapi_tags=TAGS,
        lifespan=_closing(feed, health, ring, limiter, reader, side),
        middleware=_middleware(settings, door, Served(metrics.requests), reader),
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_url=None,  # `routes.docs` serves the description and its pages, with a scope like every other route
    )
    app.may_do_without = partial(may_do_without, settings)
    app.state.runtime = runtime
    app.state.health = health
    app.state.scrape = Scrape(metrics, Measurements(side))
    app.state.feed = feed
    app.state.reader = reader
    app.state.graphql = Host.of(runtime, reader, door, lambda: app.state.feed)
    add_handlers(app)
    for module in ROUTERS:
        app.include_router(module.router)
    return app


def _reader(runtime: Runtime) -> Reader:
    settings = runtime.settings
    redis = _secret(settings.redis_url)
    return Reader(
        dataset=runtime.dataset,
        versions=Versions(Database(runtime.url, PoolOptions.for_versions(settings))),
        questions=Questions(runtime.catalog),
        freshness=Freshness(runtime.catalog),
        cache=AnswerCache(settings.cache_megabytes << 20),
        shared=SharedCache(redis, clock.monotonic) if redis else None,
    )


def _closing(*parts: Closeable) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        for part in parts:
            await part.close()

    return lifespan


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _verifiers(settings: Settings, ring: KeyRing) -> list[Verifier]:
    if settings.jwt_jwks is None:
        return [ring.verify]
    return [ring.verify, Tokens(settings, SigningKeys(settings.jwt_jwks, clock.monotonic)).verify]


def _watched(runtime: Runtime) -> list[str]:
    """The sources whose failures make the service degraded."""
    return [name for name, declared in runtime.catalog.sources.items() if declared.enabled]


def _middleware(settings: Settings, door: Door, served: Served, reader: Reader) -> list[Middleware]:
    """From the outside in. CORS answers a browser's preflight before the guard: a preflight has no key."""
    layers = [
        Middleware(ExchangeMiddleware, served=served),
        Middleware(Bounds),
    ]
    if settings.forwarded_allow_ips:
        trusted = list(settings.forwarded_allow_ips)
        layers.insert(0, Middleware(ProxyHeadersMiddleware, trusted_hosts=trusted))
    if settings.cors_origins:
        layers.append(
            Middleware(
                Pages,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=ASKED,
                expose_headers=EXPOSED,
            )
        )
    familiar = Familiar(reader, door, served)
    return [*layers, Middleware(Guard, door=door), Middleware(ShortWay, reader=reader, familiar=familiar)]
