from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kasparro.api.exchange import Exchange
from kasparro.api.problems import RULES, problem, problem_of, rule_of
from kasparro.core import errors
from kasparro.core.errors import KasparroError
from kasparro.schemas.data import Problem


def every_class(root: type[KasparroError] = KasparroError) -> list[type[KasparroError]]:
    return [root, *(found for child in root.__subclasses__() for found in every_class(child))]


def body(response) -> dict:
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("no"), 404),
        (errors.InvalidParameter("limit", "no"), 422),
        (errors.NotAuthenticated(), 401),
        (errors.NotAllowed(), 403),
        (errors.AlreadyRunning(), 409),
        (errors.RequestError(), 400),
        (errors.DatabaseUnavailable(), 503),
        (errors.DatabaseTimeout(), 504),
        (errors.SchemaMismatch(), 503),
        (errors.StorageError(), 500),
        (errors.RecordRefused(), 500),
        (errors.ConfigurationError("x"), 500),
    ],
)
def test_the_nearest_class_decides_the_status(error, status):
    response = problem_of(Exchange("r"), error)

    assert response.status_code == status
    assert body(response)["code"] == error.code
    Problem.model_validate(body(response))


def test_only_what_is_about_the_request_is_shown():
    """Whatever an error of the database, of a source or of the configuration says may name hosts, tables or values."""
    for error_class in every_class():
        shown = any(RULES[a].shown for a in error_class.__mro__ if a in RULES and a is not KasparroError)
        assert shown == issubclass(error_class, errors.RequestError), error_class


def test_what_is_not_shown_is_replaced_by_the_sentence_of_its_class():
    error = errors.DatabaseUnavailable(
        'connection to "db.internal" (10.0.0.7) failed', hint="see pg_hba.conf"
    )

    response = problem_of(Exchange("r"), error)

    assert body(response)["detail"] == "The database cannot be reached."
    assert "hint" not in body(response)
    assert "internal" not in response.body.decode()


def test_a_lease_does_not_tell_its_holder():
    lease = errors.LeaseHeld("alpha", "host-7:4711", "run_1", datetime(2024, 1, 1, tzinfo=UTC))

    response = problem_of(Exchange("r"), lease)

    assert response.status_code == 409
    assert "host-7" not in response.body.decode()


def test_who_may_try_again_is_told_when():
    for error in (errors.DatabaseUnavailable(), errors.DatabaseTimeout()):
        assert int(problem_of(Exchange("r"), error).headers["retry-after"]) > 0


def test_who_must_show_a_key_is_told_how():
    assert (
        problem_of(Exchange("r"), errors.NotAuthenticated()).headers["www-authenticate"].startswith("Bearer ")
    )


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\x1b[31m", "\u2028", "'\"\\", "x" * 100_000])
def test_any_text_makes_a_well_formed_problem(text):
    response = problem(Exchange("r"), 422, "invalid_parameter", text, parameter=text, hint=text)

    assert len(response.body) < 20_000
    assert response.media_type == "application/problem+json"
    Problem.model_validate(body(response))


def test_the_exchange_remembers_the_code():
    exchange = Exchange("r")

    problem_of(exchange, errors.NotFound("no"))

    assert exchange.code == "not_found"


def test_every_error_has_a_rule():
    for error_class in every_class():
        assert next(a for a in error_class.__mro__ if a in RULES)
    assert rule_of(errors.KasparroError()).status == 500
