from __future__ import annotations

import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kasparro.ingestion.http.redaction import LEARNED, Redactor

SECRET = 'a b+c/d="e%&ü'


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("&", "\\u0026"),
        json.dumps(json.dumps(SECRET)[1:-1].replace("/", "\\/"))[1:-1],
        escape(SECRET),
    ],
)
def test_every_spelling_of_a_secret_is_taken_out(spelling):
    redact = Redactor([SECRET])
    assert redact(f"before {spelling}after") == "before ***after"
    assert redact.shows_secret(f"x{spelling}x")


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=4, max_size=30),
    st.text(max_size=20),
)
@settings(deadline=None)
def test_no_secret_of_four_characters_and_more_gets_through(secret, around):
    assume("*" not in secret)
    assert secret not in Redactor([secret])(f"{around}{secret}{around}?x={quote_plus(secret)}")


@pytest.mark.parametrize(
    "name", ["token", "api_key", "apiKey", "X-Amz-Signature", "client_secret", "PASSWORD", "access_token"]
)
def test_query_values_with_telling_names_are_taken_out(name):
    redact = Redactor([])
    assert redact(f"https://x.example/a?b=1&{name}=abc%20d&c=2") == f"https://x.example/a?b=1&{name}=***&c=2"
    assert redact(f'see "/a?{name}=abc"') == f'see "/a?{name}=***"'


def test_other_query_values_stay():
    url = "https://x.example/a?q=stars:%3E5000&page=3&keyword=a&token_type=b"
    assert Redactor([])(url) == url


def test_a_password_in_an_address_is_taken_out():
    assert Redactor([])("http://me:pw@x.example/a@b") == "http://***@x.example/a@b"


def test_a_short_secret_must_stand_alone():
    redact = Redactor(["abc"])
    assert redact("abc abcd X-Key: abc, =abc&") == "*** abcd X-Key: ***, =***&"
    assert not redact.shows_secret("abc")


def test_no_secrets_and_empty_ones_change_nothing():
    assert Redactor([])("text") == "text"
    assert Redactor([""])("text") == "text"


def test_secrets_that_come_later_are_learned_and_the_oldest_of_many_forgotten():
    redact = Redactor(["declared-secret"])
    for number in range(LEARNED + 1):
        redact.learn(f"token+number/{number}")
        redact.learn(f"token+number/{number}")
    redact.learn("declared-secret")
    assert redact("declared-secret, token+number/1, token%2Bnumber%2F16") == "***, ***, ***"
    assert redact("token+number/0") == "token+number/0"
    assert len(redact.learned) == LEARNED
    assert redact.shows_secret("a/token+number/16/b")


@pytest.mark.parametrize("part", ["?", ";", "?a;", "&b", "http://", "?token"])
def test_a_long_hostile_address_is_looked_at_once(part):
    """Eight thousand characters, which a next link may have, took twenty seconds; quadratic time would be a day."""
    text = part * (500_000 // len(part))
    assert Redactor([])(text) == text


def test_a_telling_name_behind_other_separators_is_known():
    assert (
        Redactor([])("https://x.example/a??b;access_token=abc&?key=d")
        == "https://x.example/a??b;access_token=***&?key=***"
    )
