"""The settings: from the environment, then `.env`, read once. docs/configuration.md has each with unit, default and reason."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kasparro.core.errors import ConfigurationError, ConfigurationProblem


class Scope(StrEnum):
    """What an API key may do. `admin` includes `read`."""

    READ = "read"
    ADMIN = "admin"


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
    etl_batch_size: int = Field(3000, ge=1, le=100_000)
    etl_checkpoint_interval: float = Field(10.0, gt=0, le=3600)
    etl_lease_seconds: float = Field(12.0, ge=1, le=3600)

    # serving
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[dict[str, Scope], NoDecode, Field(repr=False)] = Field(default_factory=dict)
    public_read: bool = False
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    environment: str = "development"

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
    def api_timeout(self) -> timedelta:
        return timedelta(seconds=self.api_timeout_seconds)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return parse_api_keys(value) if isinstance(value, str) else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return tuple(o.strip() for o in value.split(",") if o.strip()) if isinstance(value, str) else value

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
        if not self.api_keys and not is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} listens beyond this machine, and API_KEYS is not set. "
                "Set API_KEYS=<secret>:admin (make a secret with: openssl rand -hex 32), or HOST=127.0.0.1"
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


MINIMUM_SECRET = 8


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
