from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kasparro.core.errors import AuthenticationFailed, PermanentSourceError, SourceError, TransientSourceError
from kasparro.ingestion.http.status import excerpt, status_error

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def error(status: int, headers: dict[str, str] | None = None) -> SourceError:
    return status_error(status, headers or {}, "no credential was sent", NOW)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 599])
def test_what_passes(status):
    assert type(error(status)) is TransientSourceError


@pytest.mark.parametrize("status", [400, 402, 404, 405, 406, 409, 410, 418, 422, 451, 501, 505])
def test_what_does_not_pass(status):
    refused = error(status)
    assert type(refused) is PermanentSourceError
    assert refused.status == status


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_about_credentials(status):
    refused = error(status)
    assert type(refused) is AuthenticationFailed
    assert "no credential was sent" in str(refused)


def test_a_403_that_is_a_rate_limit_passes():
    limited = error(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"})
    assert isinstance(limited, TransientSourceError)
    assert limited.retry_after == 60
    assert isinstance(
        error(403, {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "60"}), AuthenticationFailed
    )


def test_an_excerpt_is_one_line_of_text():
    assert excerpt(b'{"a":\r\n\t "\x1b[31m\xff"}') == '{"a": " [31m\ufffd"}'
