"""The public face of source declarations: the models of `kasparro.yaml`, `load_catalog`, which reads it, and its `json_schema`.

Everything outside `core` imports declarations from here; what each key means is in docs/catalog.md.
"""

from __future__ import annotations

from kasparro.core.catalog_file import load_catalog
from kasparro.core.catalog_schema import json_schema
from kasparro.core.declarations.answers import AnswerFormat, CsvAnswers
from kasparro.core.declarations.any_source import AnySource, SourceDeclaration
from kasparro.core.declarations.auth import Auth, StaticAuth, TokenAuth
from kasparro.core.declarations.catalog import Catalog
from kasparro.core.declarations.changes import DriftPolicy, EntityRules
from kasparro.core.declarations.csv_source import CsvSource
from kasparro.core.declarations.expressions import HEADER_PREFIX
from kasparro.core.declarations.file_paths import Storage, path_kind, split_bucket, split_member
from kasparro.core.declarations.incremental import Incremental, read_bound
from kasparro.core.declarations.limits import CONCURRENCY, PARK_AFTER, Budget, RateLimit, Retry
from kasparro.core.declarations.mapping import FieldMap, FieldName, FieldRule
from kasparro.core.declarations.pagination import (
    AutoPagination,
    CursorPagination,
    LinkHeaderPagination,
    NextUrlPagination,
    NoPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
)
from kasparro.core.declarations.parent import CARRIED, PARENT_KEY, PLACEHOLDER, Parent
from kasparro.core.declarations.singer import DISCOVER, NO_CATALOG, SingerSource
from kasparro.core.declarations.sources import (
    ApiSource,
    BaseSource,
    SourceName,
    StreamSource,
)
from kasparro.core.declarations.static_auth import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from kasparro.core.declarations.tls import Tls
from kasparro.core.declarations.token_auth import (
    LoginAuth,
    OAuth2ClientCredentials,
    OAuth2JwtBearer,
    OAuth2RefreshToken,
    SignedJwt,
    Signing,
)

__all__ = [
    "CARRIED",
    "CONCURRENCY",
    "DISCOVER",
    "HEADER_PREFIX",
    "NO_CATALOG",
    "PARENT_KEY",
    "PARK_AFTER",
    "PLACEHOLDER",
    "AnswerFormat",
    "AnySource",
    "ApiKeyAuth",
    "ApiSource",
    "Auth",
    "AutoPagination",
    "BaseSource",
    "BasicAuth",
    "BearerAuth",
    "Budget",
    "Catalog",
    "CsvAnswers",
    "CsvSource",
    "CursorPagination",
    "DriftPolicy",
    "EntityRules",
    "FieldMap",
    "FieldName",
    "FieldRule",
    "Incremental",
    "LinkHeaderPagination",
    "LoginAuth",
    "NextUrlPagination",
    "NoAuth",
    "NoPagination",
    "OAuth2ClientCredentials",
    "OAuth2JwtBearer",
    "OAuth2RefreshToken",
    "OffsetPagination",
    "PagePagination",
    "Pagination",
    "Parent",
    "RateLimit",
    "Retry",
    "SignedJwt",
    "Signing",
    "SingerSource",
    "SourceDeclaration",
    "SourceName",
    "StaticAuth",
    "Storage",
    "StreamSource",
    "Tls",
    "TokenAuth",
    "json_schema",
    "load_catalog",
    "path_kind",
    "read_bound",
    "split_bucket",
    "split_member",
]
