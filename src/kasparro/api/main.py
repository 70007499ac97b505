"""The HTTP API as an ASGI application: a `Runtime` in, an application out. Nothing happens at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from kasparro import __version__
from kasparro.api.feed import Feed
from kasparro.api.health import HealthCheck
from kasparro.api.middleware import ExchangeMiddleware
from kasparro.api.openapi import DescribedApi, operation_id
from kasparro.api.problems import add_handlers
from kasparro.api.routes import (
    changes,
    checkpoints,
    data,
    docs,
    etl,
    export,
    health,
    index,
    lineage,
    runs,
    sources,
    stats,
)
from kasparro.api.security import Access, Guard
from kasparro.core.config import Settings
from kasparro.runtime import Runtime

ROUTERS = (index, health, changes, export, data, lineage, stats, runs, checkpoints, sources, etl, docs)

DESCRIPTION = """One validated, unified dataset from any number of sources, and the runs that keep it fresh.

Every error is `application/problem+json` with a stable `code` and the `request_id` that is in the server's log."""


def create_app(runtime: Runtime) -> FastAPI:
    """The API over *runtime*, which stays open, and the caller's, as long as the application is served."""
    app = DescribedApi(
        title="Kasparro",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        middleware=_middleware(runtime.settings),
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        openapi_url=None,  # `routes.docs` serves the description and its pages, with a scope like every other route
    )
    app.state.runtime = runtime
    app.state.health = HealthCheck(runtime.url, _watched(runtime))
    app.state.feed = Feed(runtime.changes, runtime.url)
    add_handlers(app)
    for module in ROUTERS:
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.feed.close()
    await app.state.health.close()


def _watched(runtime: Runtime) -> list[str]:
    """The sources whose failures make the service degraded."""
    return [name for name, declared in runtime.catalog.sources.items() if declared.enabled]


def _middleware(settings: Settings) -> list[Middleware]:
    """From the outside in. CORS answers a browser's preflight before the guard: a preflight has no key."""
    layers = [Middleware(ExchangeMiddleware)]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
                expose_headers=["Location", "Retry-After", "X-Request-ID"],
            )
        )
    return [*layers, Middleware(Guard, access=Access(settings))]
