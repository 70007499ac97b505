"""What `path`, `root`, `max_size` and `storage` may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kasparro.core.declarations.file_paths import Storage, path_kind, split_bucket, split_member
from kasparro.core.etl_config import CsvSource
from kasparro.core.sizes import ByteSize, parse_size

KEYS = {"access_key_id": "id", "secret_access_key": "secret"}


def messages(error: ValidationError) -> str:
    return " ".join(
        refusal.message for one in error.errors() for refusal in one.get("ctx", {}).get("refusals", [])
    )


def csv(path: str, **declared: Any) -> CsvSource:
    return CsvSource(name="s", path=path, **declared)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.csv", "local"),
        ("/abs/**/*.csv.gz", "local"),
        ("C:/a.csv", "local"),
        ("a.zip!b/*.csv", "local"),
        ("s3://bucket/a/b.csv", "s3"),
        ("S3://my.bucket-1/**/[ab].csv.zst", "s3"),
        ("https://example.org/a.csv?x=1", "http"),
        ("http://127.0.0.1:8000/a.zip!b.csv", "http"),
    ],
)
def test_a_usable_path_is_of_one_kind(path: str, kind: str) -> None:
    assert path_kind(csv(path).path) == kind


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\0b", "NUL"),
        ("data/", "must name a file, not a folder"),
        ("a.zip!", "names no member"),
        ("ftp://h/a.csv", "must be a file of this machine"),
        ("s3://bucket", "with a key"),
        ("s3://bucket/", "not a folder"),
        ("s3:///key", "with a bucket name"),
        ("s3://BUCKET/key", "with a bucket name"),
        ("s3://b@evil.example/key", "with a bucket name"),
        ("s3://bucket/a//b.csv", "without empty parts"),
        ("s3://bucket/../b.csv", "without empty parts"),
        ("https://user:pass@example.org/a.csv", "user name or password"),
        ("https://example.org/a.csv?api_key=x", "must not contain a credential"),
        ("https:///a.csv", "complete address"),
    ],
)
def test_an_unusable_path_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        csv(path)
    assert message in messages(raised.value)


@pytest.mark.parametrize(
    ("path", "file", "member"),
    [
        ("a.csv", "a.csv", None),
        ("what!.csv", "what!.csv", None),
        ("a.ZIP!b.csv", "a.ZIP", "b.csv"),
        ("a.zip!b.zip!c", "a.zip", "b.zip!c"),
        ("s3://b/a.zip!*.csv", "s3://b/a.zip", "*.csv"),
    ],
)
def test_what_stands_behind_a_zip_is_a_member(path: str, file: str, member: str | None) -> None:
    assert split_member(path) == (file, member)


def test_a_bucket_ends_at_the_first_slash() -> None:
    assert split_bucket("s3://b/a/c.csv") == ("b", "a/c.csv")


@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("a.csv", {"storage": {}}),
        ("a.csv", {"headers": {"X": "y"}}),
        ("s3://bucket/a.csv", {"auth": {"type": "bearer", "token": "t"}}),
        ("https://h.example/a.csv", {"root": "data"}),
        ("https://h.example/a.csv", {"storage": {"anonymous": True}}),
    ],
)
def test_a_key_that_does_not_go_with_the_path_is_refused(path: str, declared: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        csv(path, **declared)
    assert "does not go with this path" in messages(raised.value)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"access_key_id": "x"}, "belong together"),
        ({"session_token": "x"}, "belongs to access_key_id"),
        ({"anonymous": True, **KEYS}, "contradicts"),
        ({"endpoint": "https://s3.example.org/bucket"}, "scheme, host and port alone"),
        ({"endpoint": "https://u:p@s3.example.org"}, "user name or password"),
    ],
)
def test_a_store_that_contradicts_itself_is_refused(storage: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Storage(**storage)
    assert message in messages(raised.value)


def test_the_keys_of_a_store_are_secrets() -> None:
    assert "secret" not in repr(Storage(**KEYS)).replace("secret_access_key", "")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("500MB", 500_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("2k", 2_000),
        ("1 TiB", 1 << 40),
        ("3b", 3),
    ],
)
def test_a_size_is_read_as_people_write_it(text: Any, size: int) -> None:
    assert TypeAdapter(ByteSize).validate_python(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1 PB", "ib", "1ib", True, None, 1.5, "1e9", "٣"])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes"):
        parse_size(text)
