"""What every source says about itself, and what an API and a stream say besides. Read by everything that fetches, normalises or
schedules.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NewType

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, field_validator, model_validator

from kasparro.core.declarations.answers import Answers, check_carry, check_records
from kasparro.core.declarations.auth import AuthField
from kasparro.core.declarations.base import Declaration, Refusal, Scalar, refuse, refuse_all
from kasparro.core.declarations.changes import DriftPolicy, EntityRules
from kasparro.core.declarations.connection import Connection
from kasparro.core.declarations.expressions import Expression, Text
from kasparro.core.declarations.headers import Headers
from kasparro.core.declarations.incremental import FieldPath, Incremental, misplaced
from kasparro.core.declarations.limits import RateLimit, Retry
from kasparro.core.declarations.mapping import FieldMap, check_expressions, check_formats
from kasparro.core.declarations.pagination import NoPagination, PaginationField, check_paging, query_names
from kasparro.core.declarations.parent import CARRIED, PARENT_KEY, Parent, check_parent
from kasparro.core.declarations.schedule import Cron
from kasparro.core.declarations.search import Language
from kasparro.core.declarations.static_auth import NoAuth
from kasparro.core.declarations.urls import HttpUrl, StreamUrl, is_credential_name
from kasparro.core.durations import Duration

SourceName = NewType("SourceName", str)
ValidSourceName = Annotated[SourceName, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class BaseSource(Declaration):
    """What every declared source says about itself."""

    given_by_loader: ClassVar[frozenset[str]] = frozenset({"name"})

    name: ValidSourceName
    description: str | None = Field(None, max_length=1_000, description="What it is, for people.")
    enabled: bool = Field(True, description="Whether it is ingested when nothing else is said.")
    key: tuple[FieldPath, ...] | None = Field(
        None, description="The field path that identifies a record, or a list of them; becomes external_id."
    )
    schedule: Cron | None = Field(
        None, description="When it is ingested by itself: cron, UTC, 5 fields or 6 (seconds last)."
    )
    freshness: Duration | None = Field(
        None, description="How old its last good run may be before what it gave is called stale."
    )
    map: Annotated[FieldMap, AfterValidator(check_formats)] = Field(
        default_factory=dict, description="Where the fields of the dataset come from."
    )
    incremental: Incremental | None = Field(None, description="Ask only for what changed since the last run.")
    snapshot: bool = Field(
        False, description="Whether a record absent from a complete fetch is deleted (tombstone)."
    )
    ignore_changes: tuple[FieldPath, ...] = Field(
        (), description="Field paths that do not make a record changed by themselves."
    )
    drift: DriftPolicy = Field(
        DriftPolicy.EVOLVE, description="What happens when the shape of the records changes."
    )
    entity: EntityRules | None = Field(
        None, description="Which records of other sources speak of the same thing."
    )
    search: bool = Field(False, description="Whether the records can be searched for words (`q`).")
    language: Language = Field(
        "simple", description="How words are told alike in search; `simple`: only when they are the same."
    )

    @field_validator(
        "key", mode="before", json_schema_input_type=str | Annotated[list[str], Field(min_length=1)] | None
    )
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("key")
    @classmethod
    def _different_fields(cls, key: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if key is not None and not key:
            refuse("needs at least one field path")
        if key is not None and len(set(key)) < len(key):
            refuse("names a field path twice")
        return key

    @property
    def search_language(self) -> str | None:
        return self.language if self.search else None

    def map_fingerprint(self) -> str:
        """16 hex digits over what decides which value of a raw record becomes which field."""
        return fingerprint(self.model_dump(include={"type", "map", "null_values"}))

    def needs(self) -> tuple[str, ...]:
        """The sources whose records have to be there before this one can be fetched."""
        return ()

    def identity(self) -> tuple[str, ...] | None:
        """The field paths that identify a record, as it is stored; `None`: none is declared."""
        return self.key

    def fetch_fingerprint(self) -> str:
        """16 hex digits over what decides what is fetched and how it is cut into pages; no credential is in it.

        A checkpoint made under another fingerprint must not be resumed: its cursor means something else.
        """
        return fingerprint(self._fetched())

    @abstractmethod
    def _fetched(self) -> dict[str, Any]: ...


class ApiSource(Connection, Answers, BaseSource):
    """A REST API that answers in JSON, NDJSON, CSV or XML."""

    given_by_loader: ClassVar[frozenset[str]] = frozenset({"name", "folder"})

    type: Literal["api"] = Field("api", description="A REST API that answers in JSON, NDJSON, CSV or XML.")
    folder: Path = Path()
    url: HttpUrl = Field(description="The address of the first page, without credentials.")
    method: Literal["GET", "POST"] = Field("GET", description="The HTTP method.")
    body: JsonValue = Field(None, repr=False, description="What a POST sends, as JSON.")
    headers: Headers = Field(
        default_factory=dict, repr=False, description="Headers of every request; credentials go to `auth`."
    )
    params: dict[Text, Scalar] = Field(
        default_factory=dict,
        repr=False,
        description="Query parameters of every request, as they are to be sent.",
    )
    auth: AuthField = Field(default_factory=NoAuth, description="How requests are authenticated.")
    records: Expression | None = Field(
        None,
        description="JMESPath to the list of records; left out: the array itself, or `results`, `data` or `items`.",
    )
    pagination: PaginationField = Field(default_factory=NoPagination, description="How to get the next page.")
    parent: Parent | None = Field(
        None, description="The source for each of whose records this one is fetched."
    )
    rate_limit: RateLimit | None = Field(None, description="The most it may be asked.")
    retry: Retry = Field(default_factory=Retry, description="How a failed request is tried again.")
    timeout: Duration = Field(
        timedelta(seconds=30),
        gt=timedelta(0),
        le=timedelta(hours=1),
        description="The longest wait for an answer.",
    )

    @field_validator("map")
    @classmethod
    def _map_of_expressions(cls, field_map: FieldMap) -> FieldMap:
        return check_expressions(field_map)

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> ApiSource:
        if self.body is not None and self.method != "POST":
            refuse("needs method: POST", at=("body",))
        if self.tls is not None and self.url.lower().startswith("http://"):
            refuse("has no meaning for http://", at=("tls",))
        if self.incremental is not None:
            refuse_all(misplaced(self.incremental, self.method, self.body, query_names(self.pagination)))
        check_paging(self.pagination, self.method, {"params": self.params, "headers": self.headers})
        if self.parent is not None:
            check_parent(
                self.parent, {key: getattr(self, key) for key in ("url", "params", "headers", "body")}
            )
        refuse_all(list(self._incomplete()))
        return self

    @model_validator(mode="after")
    def _records_can_be_read(self) -> ApiSource:
        check_records(self.format, self.records)
        check_carry(self.carry, self.records, has_parent=self.parent is not None)
        return self

    def _incomplete(self) -> Iterator[Refusal]:
        """What needs everything to be fetched, beside what fetches less."""
        if self.parent is not None and self.incremental is not None and self.incremental.param is not None:
            hint = "parent.changed_only says which parents are asked again"
            yield Refusal("does not go with parent", ("incremental", "param"), hint)
        if self.snapshot and self.parent is not None:
            at = ("parent", "changed_only") if self.parent.changed_only else ("parent",)
            yield Refusal("does not go with snapshot", at, "What was not asked for is not known to be gone")
        if self.snapshot and self.incremental is not None:
            hint = "It fetches a part, which does not say what is gone"
            yield Refusal("does not go with snapshot", ("incremental",), hint)
        if self.snapshot and getattr(self.pagination, "max_pages", None) is not None:
            yield Refusal("does not go with snapshot", ("pagination", "max_pages"))

    def needs(self) -> tuple[str, ...]:
        return () if self.parent is None else (self.parent.source,)

    def identity(self) -> tuple[str, ...] | None:
        if self.parent is None or self.parent.unique_key:
            return self.key
        return (f"{CARRIED}.{PARENT_KEY}", *(self.key or ("id",)))

    def recipe_fingerprint(self) -> str:
        """16 hex digits over what decides, beyond `fetch_fingerprint`, what an unchanged answer would become."""
        declared = self.model_dump(include={"map", "incremental", "ignore_changes", "drift"})
        return fingerprint(declared | {"headers": _without_credentials(dict(self.headers))})

    def _fetched(self) -> dict[str, Any]:
        keys = {"type", "url", "method", "records", "key", "pagination"}
        shown = self.model_dump(include=keys if self.parent is None else keys | {"parent"})
        shown |= self.model_dump(include={"carry", "format", "csv", "encoding"}, exclude_defaults=True)
        if self.incremental is not None:
            shown["incremental"] = self.incremental.asked()
        return shown | {"params": _without_credentials(self.params), "body": _without_credentials(self.body)}


class StreamSource(BaseSource):
    """A stream of records that never ends."""

    type: Literal["stream"] = Field("stream", description="A stream of records (not supported yet).")
    url: StreamUrl = Field(description="The address of the stream, without credentials.")
    headers: Headers = Field(
        default_factory=dict, repr=False, description="Headers of the request; credentials go to `auth`."
    )
    auth: AuthField = Field(default_factory=NoAuth, description="How the request is authenticated.")
    records: Expression | None = Field(None, description="JMESPath to the records within one message.")

    @field_validator("map")
    @classmethod
    def _map_of_expressions(cls, field_map: FieldMap) -> FieldMap:
        return check_expressions(field_map)

    def _fetched(self) -> dict[str, Any]:
        return self.model_dump(include={"type", "url", "records", "key"})


def fingerprint(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _without_credentials(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: None if is_credential_name(str(name)) else _without_credentials(inner)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_without_credentials(inner) for inner in value]
        case _:
            return value
