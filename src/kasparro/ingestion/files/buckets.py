"""Objects in S3 and stores that speak like it: found by key or pattern, read in ranges of one version.

Every range is asked for under the ETag that the object had when it was opened: one that was replaced meanwhile is refused by the
store, so nothing mixed can come. Credentials are declared under `storage` or come from the environment, as Amazon's tools
read it. Called by `csv.locations`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, cast

import obstore
from obstore import exceptions
from obstore.store import S3Store

from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceChanged,
    SourceError,
    TransientSourceError,
    TruncatedContent,
)
from kasparro.core.etl_config import Retry, Storage, split_bucket
from kasparro.core.redaction import for_people
from kasparro.ingestion.files.local import MOST_FILES, NO_MATCH, NO_MATCH_HINT
from kasparro.ingestion.files.loop_thread import LoopThread
from kasparro.ingestion.files.patterns import Pattern, is_pattern, split_pattern
from kasparro.ingestion.files.ranged import RangedFile
from kasparro.ingestion.files.stored import StoredFile

_BUFFER_BYTES: Final = 256 * 1024
_MOST_LISTED: Final = 2_000_000
_LISTED_AT_ONCE: Final = 1_000
_RETRIES_END: Final = timedelta(minutes=3)
_SHOWN: Final = 300
_STATUS: Final = re.compile(r"status code: (\d{3})")
_OF_CREDENTIALS: Final = ("/latest/api/token", "/latest/meta-data", "AssumeRole", "redentials")
_LOCATION_HINT: Final = "Check the bucket and the key in `path`, and `storage`"
_CREDENTIALS_HINT: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, declare them under `storage`, "
    "or declare `storage: {anonymous: true}`"
)


@dataclass(frozen=True, slots=True)
class BucketObject:
    """An object, and how to ask for it."""

    bucket: str
    key: str
    storage: Storage = field(repr=False)
    retry: Retry = field(repr=False)

    @property
    def shown(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def place(self) -> str:
        return self.shown

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.key).name

    def open(self) -> StoredFile:
        return open_object(self)


def find_objects(path: str, storage: Storage, retry: Retry) -> list[BucketObject]:
    """The object or the objects that *path* names, sorted. None that matches is an error."""
    bucket, key = split_bucket(path)
    if not is_pattern(key):
        return [BucketObject(bucket, key, storage, retry)]
    with _translated(path):
        keys = sorted(_matching(_store(bucket, storage, retry), key, path))
    if not keys:
        raise PermanentSourceError(NO_MATCH, place=path, hint=NO_MATCH_HINT)
    return [BucketObject(bucket, found, storage, retry) for found in keys]


def open_object(file: BucketObject) -> StoredFile:
    """Open the object as it is now."""
    loop = LoopThread()
    try:
        with _translated(file.place):
            store = _store(file.bucket, file.storage, file.retry)
            meta = loop.run(_head(store, file.key))
    except BaseException:
        loop.close()
        raise
    version = {"etag": meta["e_tag"], "last_modified": meta["last_modified"].isoformat()}

    def fetch(start: int, length: int) -> bytes:
        return loop.run(_range(store, file, meta, start, length))

    return StoredFile(
        name=file.file_name,
        stream=cast("BinaryIO", io.BufferedReader(RangedFile(meta["size"], fetch), _BUFFER_BYTES)),
        size=meta["size"],
        fingerprint={"size": meta["size"], **version},
        close=loop.close,
        interrupt=loop.interrupt,
    )


def _store(bucket: str, storage: Storage, retry: Retry) -> S3Store:
    given: dict[str, Any] = {"region": storage.region, "endpoint": storage.endpoint}
    if storage.anonymous:
        given["skip_signature"] = True
    return S3Store(
        bucket,
        config=cast("Any", {key: value for key, value in given.items() if value is not None}),
        client_options={
            "allow_http": (storage.endpoint or "").lower().startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(seconds=60),
        },
        retry_config={
            "max_retries": retry.attempts - 1,
            "backoff": {"init_backoff": retry.base, "max_backoff": retry.max, "base": 2},
            "retry_timeout": _RETRIES_END,
        },
        credential_provider=_declared_keys(storage),
    )


def _declared_keys(storage: Storage) -> Any:
    """Keys that are declared stand alone: no token of the environment is mixed into them."""
    if storage.access_key_id is None or storage.secret_access_key is None:
        return None
    token = storage.session_token
    keys = {
        "access_key_id": storage.access_key_id.get_secret_value(),
        "secret_access_key": storage.secret_access_key.get_secret_value(),
        "token": None if token is None else token.get_secret_value(),
        "expires_at": None,
    }
    return lambda: keys


def _matching(store: S3Store, key: str, path: str) -> Iterator[str]:
    """The keys that match, asked for from the constant beginning of the pattern on."""
    prefix, rest = split_pattern(key)
    pattern = Pattern(rest)
    listed = found = 0
    for chunk in obstore.list(store, prefix.rstrip("/") or None, chunk_size=_LISTED_AT_ONCE):
        names = [meta["path"] for meta in cast("Sequence[Any]", chunk)]
        listed += len(names)
        for name in names:
            if name.startswith(prefix) and pattern.matches(name[len(prefix) :]):
                found += 1
                yield name
        if listed > _MOST_LISTED or found > MOST_FILES:
            raise PermanentSourceError(
                f"the pattern matches more than {MOST_FILES:,} objects or looks at more than {_MOST_LISTED:,}",
                place=path,
                hint="Declare several sources, or a pattern with a longer beginning",
            )


async def _head(store: S3Store, key: str) -> Any:
    return await obstore.head_async(store, key)


async def _range(store: S3Store, file: BucketObject, opened: Any, start: int, length: int) -> bytes:
    with _translated(file.place):
        options: Any = {"range": (start, start + length), "if_match": opened["e_tag"]}
        answer = await obstore.get_async(store, file.key, options=options)
        data = bytes(await answer.bytes_async())
    if any(
        answer.meta[name] != opened[name] for name in ("e_tag", "size")
    ):  # some stores do not know If-Match
        raise _replaced(file.place)
    if len(data) != length:
        raise TruncatedContent(f"{len(data)} of {length} bytes came, from byte {start} on", place=file.place)
    return data


def _replaced(place: str) -> SourceChanged:
    return SourceChanged(
        "the object was replaced while it was being read",
        place=place,
        hint="Nothing of the mixed state was taken; run again",
    )


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise _translate(error, place) from None  # its text may show a signed address


def _translate(error: Exception, place: str) -> SourceError:
    said = _said(error)
    match error:
        case FileNotFoundError():
            return PermanentSourceError("there is no such object", place=place, hint=_LOCATION_HINT)
        case exceptions.PreconditionError() | exceptions.NotModifiedError():
            return _replaced(place)
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            hint = "Check which credentials are sent (`storage`, AWS_...), and what they may read"
            return AuthenticationFailed(f"the store refuses: {said}", place=place, hint=hint)
        case exceptions.InvalidPathError() | exceptions.UnknownConfigurationKeyError() | ValueError():
            return PermanentSourceError(f"this is not usable: {said}", place=place, hint=_LOCATION_HINT)
        case _:
            return _of_request(str(error), said, place)


def _of_request(text: str, said: str, place: str) -> SourceError:
    """What the library has no class for, by what it says."""
    status = _STATUS.search(text)
    if any(path in text for path in _OF_CREDENTIALS):
        return AuthenticationFailed(
            f"no credentials were found, the last place to look was the role of this machine: {said}",
            place=place,
            hint=_CREDENTIALS_HINT,
        )
    if "builder error" in text and "http://" in text:
        return PermanentSourceError(
            "the endpoint from the environment is http://, which is used only where it is declared",
            place=place,
            hint="Declare it: `storage: {endpoint: http://...}`",
        )
    if status and status[1] == "404":
        return PermanentSourceError("there is no such bucket or object", place=place, hint=_LOCATION_HINT)
    if status and status[1].startswith("4") and status[1] not in {"408", "429"}:
        return PermanentSourceError(f"the store refuses: {said}", place=place, hint=_LOCATION_HINT)
    return TransientSourceError(f"the store did not deliver: {said}", place=place, hint=_LOCATION_HINT)


def _said(error: Exception) -> str:
    """What went wrong in the end; before it the library says what it did, behind it are debugging notes."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return for_people(text.rsplit(" - ", 1)[-1].split(": <", 1)[0]).rstrip(": ")[:_SHOWN]
