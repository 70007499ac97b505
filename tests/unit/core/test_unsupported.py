"""What is refused by name."""

from __future__ import annotations

import pytest

from kasparro.core.unsupported import unsupported


@pytest.mark.parametrize(
    ("source", "place", "what"),
    [
        ({"type": "stream"}, "type", "stream"),
    ],
)
def test_what_is_not_delivered_is_named(source, place, what):
    [(found, name)] = unsupported(source)
    assert ".".join(map(str, found)) == place
    assert what in name


@pytest.mark.parametrize(
    "source",
    [
        {},
        {
            "type": "api",
            "auth": {"type": "oauth2_client_credentials"},
            "pagination": {"type": "page"},
            "drift": "freeze",
            "snapshot": "true",
        },
        {
            "ignore_changes": ["x"],
            "rate_limit": {"requests": "5", "concurrency": "4", "budget": {"requests": "1"}},
            "entity": {"match": [["url"]]},
            "incremental": {"field": "x"},
        },
        {"rate_limit": "x", "auth": ["x"], "path": 5, "snapshot": "perhaps", "drift": ["x"]},
        *(
            {"type": "csv", "path": path}
            for path in ("a.csv", "data/**/*.csv", "a.ZIP", "s3://b/a.zst", "https://x.org/a")
        ),
    ],
)
def test_defaults_and_what_is_delivered_are_not_named(source):
    assert list(unsupported(source)) == []
