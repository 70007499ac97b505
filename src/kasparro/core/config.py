"""The settings: from the environment, then `.env`, read once. docs/configuration.md has each with unit, default and reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kasparro.core.errors import ConfigurationError, ConfigurationProblem


class Scope(StrEnum):
    """What an API key may do. `admin` includes `read`."""

    READ = "read"
    ADMIN = "admin"


Words = Annotated[tuple[str, ...], NoDecode]
"""Words separated by commas."""

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Of signatures that take a private key: whoever can check a token cannot make one."""


class Introspection(StrEnum):
    """Who may ask GraphQL for its schema. `keys`: whoever shows one; without API keys, this machine."""

    ALL = "all"
    KEYS = "keys"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class GraphqlLimits:
    """The most that a GraphQL query may have of each."""

    characters: int
    tokens: int
    depth: int
    aliases: int
    directives: int
    root_fields: int
    cost: int


class Settings(BaseSettings):
    """Every setting has the name of its environment variable, in lower case."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    # database
    database_url: SecretStr | None = None
    kasparro_data_dir: Path | None = None
    db_pool_size: int = Field(20, ge=1, le=1000)
    db_max_overflow: int = Field(10, ge=0, le=1000)
    db_pool_timeout_seconds: float = Field(2.0, gt=0, le=300)
    db_statement_timeout_seconds: float = Field(10.0, gt=0, le=3600)
    db_lock_timeout_seconds: float = Field(5.0, gt=0, le=3600)

    # ingestion
    kasparro_config: Path = Path("kasparro.yaml")
    api_timeout_seconds: float = Field(30.0, gt=0, le=3600)
    etl_batch_size: int = Field(5000, ge=1, le=100_000)
    etl_checkpoint_interval: float = Field(10.0, gt=0, le=3600)
    etl_lease_seconds: float = Field(12.0, ge=1, le=3600)
    etl_nice: int = Field(10, ge=0, le=19)

    # serving
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[dict[str, Scope], NoDecode, Field(repr=False)] = Field(default_factory=dict)
    public_read: bool = False
    require_keys: bool = False
    cors_origins: Words = ()
    rate_limit_per_minute: int | None = Field(None, ge=0, le=10_000_000)
    auth_failures_per_minute: int = Field(30, ge=1, le=100_000)
    redis_url: SecretStr | None = None
    cache_megabytes: int = Field(64, ge=0, le=65_536)
    forwarded_allow_ips: Words = ()
    metrics_public: bool = False
    serve_workers: int = Field(1, ge=1, le=256)
    max_connections: int = Field(1000, ge=1, le=1_000_000)
    request_receipt_seconds: float = Field(20.0, gt=0, le=3600)
    jwt_jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_algorithms: Words = ("RS256", "ES256", "EdDSA")
    jwt_scope_claim: str = "scope"
    jwt_scopes: Annotated[dict[str, Scope], NoDecode] = Field(default_factory=dict)
    jwt_leeway_seconds: float = Field(30.0, ge=0, le=600)
    environment: str = "development"

    # GraphQL
    graphql_introspection: Introspection = Introspection.KEYS
    graphql_max_characters: int = Field(10_000, ge=100, le=1_000_000)
    graphql_max_tokens: int = Field(1_000, ge=50, le=100_000)
    graphql_max_depth: int = Field(15, ge=2, le=50)
    graphql_max_aliases: int = Field(30, ge=0, le=10_000)
    graphql_max_directives: int = Field(30, ge=0, le=10_000)
    graphql_max_root_fields: int = Field(10, ge=1, le=1_000)
    graphql_max_cost: int = Field(5_000, ge=10, le=10_000_000)
    graphql_max_connections: int = Field(500, ge=0, le=1_000_000)
    graphql_connections_per_client: int = Field(20, ge=1, le=1_000_000)
    graphql_subscriptions_per_client: int = Field(50, ge=1, le=1_000_000)

    export_concurrency: int = Field(2, ge=1, le=100)
    export_timeout_seconds: float = Field(3600.0, gt=0, le=86_400)

    # logs
    log_level: str = "INFO"
    log_format: str = "auto"

    @property
    def data_dir(self) -> Path:
        """Where the embedded PostgreSQL keeps its data: beside the catalog, so that two projects do not share a dataset."""
        if self.kasparro_data_dir is not None:
            return self.kasparro_data_dir.expanduser()
        return self.kasparro_config.expanduser().absolute().parent / ".kasparro"

    @property
    def graphql_limits(self) -> GraphqlLimits:
        return GraphqlLimits(
            characters=self.graphql_max_characters,
            tokens=self.graphql_max_tokens,
            depth=self.graphql_max_depth,
            aliases=self.graphql_max_aliases,
            directives=self.graphql_max_directives,
            root_fields=self.graphql_max_root_fields,
            cost=self.graphql_max_cost,
        )

    @property
    def api_timeout(self) -> timedelta:
        return timedelta(seconds=self.api_timeout_seconds)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return parse_api_keys(value) if isinstance(value, str) else value

    @property
    def keys_are_needed(self) -> bool:
        """Whether a request has to say who it is; if not, only this machine is served."""
        return bool(self.api_keys) or self.require_keys or self.jwt_jwks is not None

    @property
    def requests_per_minute(self) -> int:
        """Of one key or address; 0: no limit, as for this machine alone."""
        if self.rate_limit_per_minute is not None:
            return self.rate_limit_per_minute
        return RATE_WITH_KEYS if self.keys_are_needed else 0

    @field_validator("jwt_scopes", mode="before")
    @classmethod
    def _split_scopes(cls, value: object) -> object:
        return parse_scopes(value) if isinstance(value, str) else value

    @field_validator("cors_origins", "forwarded_allow_ips", "jwt_algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(o.strip() for o in value.split(",") if o.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write https://host or https://host:port, no path, or *"
                )
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _known_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is no IP address and no network such as 10.0.0.0/8") from None
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _known_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= ALGORITHMS:
            raise ValueError(f"must be some of {', '.join(sorted(ALGORITHMS))}")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_store(cls, value: SecretStr | None) -> SecretStr | None:
        if value and value.get_secret_value().partition("://")[0] not in REDIS_SCHEMES:
            raise ValueError(
                f"must start with one of {', '.join(f'{scheme}://' for scheme in REDIS_SCHEMES)}"
            )
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value.upper()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in {"auto", "json", "console"}:
            raise ValueError("must be auto, json or console")
        return value

    @model_validator(mode="after")
    def _need_keys_beyond_loopback(self) -> Self:
        if not self.keys_are_needed and not is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} listens beyond this machine, and API_KEYS is not set. "
                "Set API_KEYS=<secret>:admin (make a secret with: openssl rand -hex 32), or HOST=127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _tokens_are_for_us(self) -> Self:
        if self.jwt_jwks is not None and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "JWT_JWKS needs JWT_ISSUER and JWT_AUDIENCE: a token made for another service must not open this one"
            )
        if self.jwt_jwks is not None and self.jwt_jwks.startswith("http://"):
            host = urlsplit(self.jwt_jwks).hostname or ""
            if not is_loopback(host):
                raise ValueError(
                    "JWT_JWKS must be a file or an https:// address: whoever changes the keys is let in"
                )
        return self


def parse_api_keys(text: str) -> dict[str, Scope]:
    """Read `secret:scope[,secret:scope...]`. The messages never repeat a secret."""
    keys: dict[str, Scope] = {}
    for number, part in enumerate(filter(None, (p.strip() for p in text.split(","))), start=1):
        secret, separator, scope = part.rpartition(":")
        if not separator or scope not in set(Scope):
            raise ValueError(f"key {number} of API_KEYS must be <secret>:read or <secret>:admin")
        if len(secret) < MINIMUM_SECRET:
            raise ValueError(f"key {number} of API_KEYS is shorter than {MINIMUM_SECRET} characters")
        keys[secret] = Scope(scope)
    return keys


def parse_scopes(text: str) -> dict[str, Scope]:
    """Read `name=scope[,name=scope...]`: what a name in a token's scope claim stands for."""
    scopes: dict[str, Scope] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, scope = part.rpartition("=")
        if not name or scope not in set(Scope):
            raise ValueError(f"{part!r} must be <name>=read or <name>=admin")
        scopes[name] = Scope(scope)
    return scopes


MINIMUM_SECRET = 8
RATE_WITH_KEYS = 6000
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
REDIS_SCHEMES = ("redis", "rediss", "unix", "valkey", "valkeys")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: object) -> Settings:
    """Read the settings; *overrides* (command-line options) win where they are not None."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(*(_problem(e["loc"], e["msg"]) for e in error.errors())) from None


def _problem(location: tuple[int | str, ...], message: str) -> ConfigurationProblem:
    text = message.removeprefix("Value error, ")
    return ConfigurationProblem(f"{str(location[0]).upper()}: {text}" if location else text)
