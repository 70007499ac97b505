"""CSV files as a source: what is declared of where they are and how they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from kasparro.core.declarations.auth import AuthField
from kasparro.core.declarations.base import Refusal, refuse, refuse_all
from kasparro.core.declarations.connection import Connection
from kasparro.core.declarations.csv_dialect import Comment, Delimiter, Encoding, Header, OneCharacter, Ragged
from kasparro.core.declarations.file_paths import FilePath, RootFolder, Storage, path_kind
from kasparro.core.declarations.headers import Headers
from kasparro.core.declarations.incremental import Incremental
from kasparro.core.declarations.limits import Retry
from kasparro.core.declarations.sources import BaseSource, fingerprint
from kasparro.core.declarations.static_auth import NoAuth
from kasparro.core.sizes import ByteSize

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
        return fingerprint(
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
