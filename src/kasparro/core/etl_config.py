"""The public face of source declarations: the models of `kasparro.yaml`, `load_catalog`, which reads it, and its `json_schema`.

Everything outside `core` imports declarations from here; what each key means is in docs/catalog.md.
"""

from __future__ import annotations

from kasparro.core.catalog_file import load_catalog
from kasparro.core.catalog_schema import json_schema
from kasparro.core.declarations.auth import (
    ApiKeyAuth,
    Auth,
    BasicAuth,
    BearerAuth,
    NoAuth,
    OAuth2ClientCredentials,
)
from kasparro.core.declarations.catalog import Catalog
from kasparro.core.declarations.changes import DriftPolicy, EntityRules, Incremental
from kasparro.core.declarations.expressions import HEADER_PREFIX
from kasparro.core.declarations.file_paths import Storage, path_kind, split_bucket, split_member
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
from kasparro.core.declarations.sources import (
    ApiSource,
    BaseSource,
    CsvSource,
    SourceDeclaration,
    SourceName,
    StreamSource,
)

__all__ = [
    "CONCURRENCY",
    "HEADER_PREFIX",
    "PARK_AFTER",
    "ApiKeyAuth",
    "ApiSource",
    "Auth",
    "AutoPagination",
    "BaseSource",
    "BasicAuth",
    "BearerAuth",
    "Budget",
    "Catalog",
    "CsvSource",
    "CursorPagination",
    "DriftPolicy",
    "EntityRules",
    "FieldMap",
    "FieldName",
    "FieldRule",
    "Incremental",
    "LinkHeaderPagination",
    "NextUrlPagination",
    "NoAuth",
    "NoPagination",
    "OAuth2ClientCredentials",
    "OffsetPagination",
    "PagePagination",
    "Pagination",
    "RateLimit",
    "Retry",
    "SourceDeclaration",
    "SourceName",
    "Storage",
    "StreamSource",
    "json_schema",
    "load_catalog",
    "path_kind",
    "split_bucket",
    "split_member",
]
