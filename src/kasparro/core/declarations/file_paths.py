"""Where the file of a source is: the checks behind `path`, and `storage`, the object store that an `s3://` path needs."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.expressions import Text
from kasparro.core.declarations.urls import HttpUrl, check_http_url

PathKind = Literal["local", "s3", "http"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_REMOTE: Final[dict[str, PathKind]] = {"s3://": "s3", "https://": "http", "http://": "http"}
_MEMBER: Final = re.compile(r"(.*?\.zip)!(.*)", re.IGNORECASE | re.DOTALL)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def path_kind(path: str) -> PathKind:
    """Whether *path* is a file of this machine, an object in S3, or an address of the web."""
    scheme = _SCHEME.match(path)
    return _REMOTE.get(scheme[0].lower(), "local") if scheme else "local"


def split_member(path: str) -> tuple[str, str | None]:
    """`archive.zip!member.csv` is a file and the member (or a pattern of members) in it."""
    match = _MEMBER.fullmatch(path)
    return (match[1], match[2]) if match else (path, None)


def split_bucket(path: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address."""
    bucket, _, key = path[len("s3://") :].partition("/")
    return bucket, key


def check_path(text: str) -> str:
    """Accept *text* if it names a file or a pattern of files; whether they exist is seen when they are read."""
    if "\0" in text:
        refuse("must not contain a NUL character")
    file, member = split_member(text)
    if member == "":
        refuse("names no member behind the !")
    if text.endswith(("/", "\\")):
        refuse("must name a file, not a folder")
    match path_kind(file):
        case "s3":
            _check_object(file)
        case "http":
            check_http_url(file)
        case "local" if _SCHEME.match(text):
            refuse("must be a file of this machine, s3://bucket/key or https://...")
        case "local":
            pass
    return text


def _check_object(path: str) -> None:
    bucket, key = split_bucket(path)
    if not _BUCKET.fullmatch(bucket):
        refuse("must have the form s3://bucket/key, with a bucket name of a-z, 0-9, '.', '_' and '-'")
    if not key or "//" in key or any(part in {".", ".."} for part in key.split("/")) or key.startswith("/"):
        refuse("must have the form s3://bucket/key, with a key without empty parts, '.' and '..'")


def check_root(text: str) -> str:
    """Accept *text* if it can be a folder of this machine."""
    if "\0" in text or _SCHEME.match(text):
        refuse("must be a folder of this machine")
    return text


def check_endpoint(url: str) -> str:
    """Accept *url* if it is scheme, host and port alone: buckets and keys come from `path`."""
    parts = urlsplit(url)
    if parts.query or parts.path.strip("/"):
        refuse("must be scheme, host and port alone, such as https://s3.example.org")
    return url.rstrip("/")


FilePath = Annotated[Text, AfterValidator(check_path)]
RootFolder = Annotated[Text, AfterValidator(check_root)]


class Storage(Declaration):
    """The object store behind an `s3://` path. What is left out comes from the environment (`AWS_...`)."""

    endpoint: Annotated[HttpUrl, AfterValidator(check_endpoint)] | None = Field(
        None,
        description="The store's address where it is not Amazon's; http:// only where it is written here.",
    )
    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,50}$")] | None = Field(
        None, description="The region of the bucket."
    )
    access_key_id: SecretStr | None = Field(
        None, min_length=1, description="The access key's id; take it from the environment: `${NAME}`."
    )
    secret_access_key: SecretStr | None = Field(
        None, min_length=1, description="The access key's secret; take it from the environment: `${NAME}`."
    )
    session_token: SecretStr | None = Field(
        None, min_length=1, description="The token that belongs to temporary keys."
    )
    anonymous: bool = Field(False, description="Whether to ask without credentials, as public buckets allow.")

    @model_validator(mode="after")
    def _whole_credentials(self) -> Storage:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            refuse("access_key_id and secret_access_key belong together")
        if self.session_token is not None and self.access_key_id is None:
            refuse("belongs to access_key_id and secret_access_key", at=("session_token",))
        if self.anonymous and self.access_key_id is not None:
            refuse("contradicts the access key: leave one of the two out", at=("anonymous",))
        return self
