"""The kinds of source a catalog can declare, one model each. Read by everything that fetches, normalises or schedules."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NewType

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, field_validator, model_validator

from kasparro.core.declarations.auth import AuthField
from kasparro.core.declarations.base import Declaration, Refusal, Scalar, refuse, refuse_all
from kasparro.core.declarations.changes import DriftPolicy, EntityRules
from kasparro.core.declarations.connection import Connection
from kasparro.core.declarations.csv_dialect import (
    Comment,
    Delimiter,
    Encoding,
    Header,
    OneCharacter,
    Ragged,
)
from kasparro.core.declarations.expressions import Expression, Text
from kasparro.core.declarations.file_paths import FilePath, RootFolder, Storage, path_kind
from kasparro.core.declarations.headers import Headers
from kasparro.core.declarations.incremental import FieldPath, Incremental, misplaced
from kasparro.core.declarations.limits import RateLimit, Retry
from kasparro.core.declarations.mapping import FieldMap, check_expressions, check_formats
from kasparro.core.declarations.pagination import (
    CursorPagination,
    NoPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
    PaginationField,
)
from kasparro.core.declarations.schedule import Cron
from kasparro.core.declarations.search import Language
from kasparro.core.declarations.static_auth import NoAuth
from kasparro.core.declarations.urls import HttpUrl, StreamUrl, is_credential_name
from kasparro.core.durations import Duration
from kasparro.core.sizes import ByteSize

SourceName = NewType("SourceName", str)
_PATH_KINDS: Final = {
    "local": "which is a file of this machine",
    "s3": "which is in an object store",
    "http": "which is on the web",
}
_KEYS_OF_KINDS: Final = {
    "root": {"local"},
    "storage": {"s3"},
    "headers": {"http"},
    "auth": {"http"},
    "redirects": {"http"},
    "redirect_hosts": {"http"},
    "tls": {"http"},
    "retry": {"s3", "http"},
}
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
        return _fingerprint(self.model_dump(include={"type", "map", "null_values"}))

    def fetch_fingerprint(self) -> str:
        """16 hex digits over what decides what is fetched and how it is cut into pages; no credential is in it.

        A checkpoint made under another fingerprint must not be resumed: its cursor means something else.
        """
        return _fingerprint(self._fetched())

    @abstractmethod
    def _fetched(self) -> dict[str, Any]: ...


class ApiSource(Connection, BaseSource):
    """A REST API that answers in JSON."""

    given_by_loader: ClassVar[frozenset[str]] = frozenset({"name", "folder"})

    type: Literal["api"] = Field("api", description="A REST API that answers in JSON.")
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
        paging = _paging_params(self.pagination)
        if self.incremental is not None:
            refuse_all(misplaced(self.incremental, self.method, self.body, paging))
        twice = [name for name in paging if name in self.params]
        refuse_all(
            [
                Refusal("is set by pagination as well", ("params", name), "Leave one of the two out")
                for name in twice
            ]
        )
        return self

    def recipe_fingerprint(self) -> str:
        """16 hex digits over what decides, beyond `fetch_fingerprint`, what an unchanged answer would become."""
        declared = self.model_dump(include={"map", "incremental", "ignore_changes", "drift"})
        return _fingerprint(declared | {"headers": _without_credentials(dict(self.headers))})

    def _fetched(self) -> dict[str, Any]:
        shown = self.model_dump(include={"type", "url", "method", "records", "key", "pagination"})
        if self.incremental is not None:
            shown["incremental"] = self.incremental.asked()
        return shown | {"params": _without_credentials(self.params), "body": _without_credentials(self.body)}


class CsvSource(Connection, BaseSource):
    """CSV files, plain or compressed, of this machine, in S3 or on the web."""

    given_by_loader: ClassVar[frozenset[str]] = frozenset({"name", "folder"})

    type: Literal["csv"] = Field("csv", description="CSV files, plain or compressed.")
    folder: Path = Path()
    path: FilePath = Field(
        description="The file or a pattern of files, relative to the catalog's folder; s3://bucket/key; https://..."
    )
    root: RootFolder | None = Field(
        None, description="The folder that no file may lie outside of, not even by a symbolic link."
    )
    max_size: ByteSize = Field(
        1 << 40, ge=1, description="The most bytes of one file, unpacked, such as `50GiB`."
    )
    max_ratio: int | None = Field(
        None, ge=2, description="The most bytes one compressed byte may become; left out: by format."
    )
    storage: Storage = Field(default_factory=Storage, description="The object store of an s3:// path.")
    headers: Headers = Field(
        default_factory=dict,
        repr=False,
        description="Headers of the requests for an https:// path; credentials go to `auth`.",
    )
    auth: AuthField = Field(
        default_factory=NoAuth, description="How requests for an https:// path are authenticated."
    )
    retry: Retry = Field(
        default_factory=Retry, description="How a failed request for a remote file is tried again."
    )
    delimiter: Delimiter = Field("auto", description="What separates cells: one character, or `auto`.")
    quotechar: OneCharacter | None = Field('"', description="What quotes a cell; `null`: nothing does.")
    escapechar: OneCharacter | None = Field(
        None, description="What makes the next character stand for itself."
    )
    comment: Comment | None = Field(
        None, description="Lines that begin with this, where a record would begin, are left out."
    )
    encoding: Encoding = Field("auto", description="The encoding, such as `utf-8` or `cp1252`, or `auto`.")
    header: Header = Field(
        True, description="Whether the first row names the columns; a list names them instead."
    )
    skip_rows: int = Field(0, ge=0, description="Lines to leave out at the start of the file.")
    ragged: Ragged = Field(
        Ragged.REJECT, description="Rows with too few cells: `reject` them, or `pad` them with empty cells."
    )
    null_values: tuple[str, ...] = Field(
        ("",), description="Cells that mean: no value. A list replaces the default."
    )

    @field_validator("incremental")
    @classmethod
    def _only_a_version(cls, incremental: Incremental | None) -> Incremental | None:
        if incremental is not None and incremental.param is not None:
            refuse("is for APIs: in a file, field is the version only", at=("param",))
        return incremental

    @model_validator(mode="after")
    def _keys_fit_the_path(self) -> CsvSource:
        kind = path_kind(self.path)
        refuse_all(
            [
                Refusal(f"does not go with this path, {_PATH_KINDS[kind]}", (key,))
                for key, kinds in _KEYS_OF_KINDS.items()
                if kind not in kinds and key in self.model_fields_set and getattr(self, key) is not None
            ]
        )
        return self

    @property
    def location(self) -> str:
        """Where the file or pattern is: an absolute path of this machine, or the address; its query may be a signature."""
        if path_kind(self.path) != "local":
            return re.sub(r"\?[^!]+", "?***", self.path) if path_kind(self.path) == "http" else self.path
        return str((self.folder / Path(self.path).expanduser()).absolute())

    @model_validator(mode="after")
    def _different_characters(self) -> CsvSource:
        named = {"delimiter": self.delimiter, "quotechar": self.quotechar, "escapechar": self.escapechar}
        seen: dict[str, str] = {}
        for name, character in named.items():
            if character is not None and character in seen:
                refuse(f"must differ from {seen[character]}", at=(name,))
            if character is not None:
                seen[character] = name
        if self.comment is not None and self.comment[0] in seen:
            refuse(f"must not begin with {seen[self.comment[0]]}", at=("comment",))
        return self

    def recipe_fingerprint(self) -> str:
        """16 hex digits over what decides, beyond `fetch_fingerprint`, what becomes of a record once it has been read."""
        return _fingerprint(
            self.model_dump(include={"map", "null_values", "ignore_changes", "incremental", "drift"})
        )

    def _fetched(self) -> dict[str, Any]:
        return self.model_dump(
            include={
                "type",
                "path",
                "key",
                "delimiter",
                "quotechar",
                "escapechar",
                "comment",
                "encoding",
                "header",
                "skip_rows",
                "ragged",
            }
        )


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


def _fingerprint(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _paging_params(pagination: Pagination) -> tuple[str, ...]:
    match pagination:
        case PagePagination():
            return (pagination.param, *([pagination.size_param] if pagination.size_param else []))
        case OffsetPagination():
            return (pagination.offset_param, pagination.limit_param)
        case CursorPagination():
            return (pagination.param,)
        case _:
            return ()


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
