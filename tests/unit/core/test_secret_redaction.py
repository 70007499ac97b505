import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from kasparro.core.redaction import (
    PASSING_SECRETS,
    KnownSecrets,
    for_people,
    printable,
    redact,
    redact_text,
    register_passing_secret,
    register_secrets,
)

CANARY = "c4nary-0f-this-test"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@host/database",
        f"postgresql://user:{CANARY}@with@at@host/database",
        f"https://{CANARY}@host/path",
        f"https://host/path?api_key={CANARY}&page=2",
        f"https://host/path?page=2&access_token={CANARY}",
        f"host=db user=me password={CANARY} dbname=data",
        f"password='{CANARY} with blanks'",
        f"Authorization: Bearer {CANARY}",
        f"authorization: {CANARY}",
        f"X-API-Key: {CANARY}",
        f"{{'token': '{CANARY}'}}",
        f'{{"client_secret": "{CANARY} \\" {CANARY}", "page": 1}}',
        f"sent Bearer {CANARY}",
    ],
)
def test_a_credential_is_known_by_where_it_stands(text):
    assert CANARY not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "sources.repositories.auth.token: must not be empty",
        "key 1 of API_KEYS must be <secret>:read or <secret>:admin",
        "Set API_KEYS=<secret>:admin (make a secret with: openssl rand -hex 32)",
        "Basic authentication failed",
        "https://host:8080/path?page=2&q=airports",
        "postgresql://postgres@/postgres?host=/run/pg",
        "run_airports_0a1b2c3d",
    ],
)
def test_text_without_a_credential_stays_as_it_is(text):
    assert redact_text(text) == text


def test_what_surrounds_a_credential_stays_readable():
    assert redact_text(f"GET https://me:{CANARY}@host/a?token={CANARY}&page=2 failed") == (
        "GET https://me:***@host/a?token=***&page=2 failed"
    )


@pytest.mark.parametrize(
    "name", ["token", "client_secret", "PASSWORD", "db_password", "Authorization", "x-api-key", "apiKey"]
)
def test_a_value_with_a_telling_name_is_masked_whatever_it_is(name):
    assert redact(name, {"a": 1}) == "***"
    assert redact("request", {"headers": [{name: 12345}]}) == {"headers": [{name: "***"}]}


def test_whether_a_credential_is_there_may_be_told():
    assert redact("has_token", True) is True
    assert redact("token", None) is None


def test_an_error_is_shown_by_its_type_and_its_redacted_text():
    assert redact("reason", ValueError(f"password={CANARY}")) == "ValueError: password=***"


class Declared(BaseModel):
    name: str
    auth: dict[str, SecretStr]


def test_secrets_of_models_are_known_by_their_value_afterwards():
    register_secrets({"sources": [Declared(name="plain-name", auth={"a": SecretStr("n0b0dy-knows")})]})

    assert redact_text("it was n0b0dy-knows") == "it was ***"
    assert redact_text("this is plain-name") == "this is plain-name"


def test_of_a_database_url_only_the_password_is_secret():
    register_secrets(SecretStr("postgresql://reader:s%40nd-castle@db.example/data"))

    assert redact_text("s@nd-castle, s%40nd-castle") == "***, ***"
    assert redact_text("no connection to db.example") == "no connection to db.example"


@given(st.text(min_size=4), st.text(alphabet=string.ascii_letters + " "))
def test_a_known_secret_is_masked_in_every_spelling(secret, around):
    known = KnownSecrets()
    known.add(secret)

    for spelling in (
        secret,
        quote(secret.encode("utf-8", "surrogatepass"), safe=""),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ):
        assert known.mask(f"{around}={spelling}={around}") in {
            f"{around}=***={around}",
            known.mask(around) + "=***=" + known.mask(around),
        }


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text):
    shown = printable(text)

    assert len(shown.splitlines()) <= 1
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    shown.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nfake line", "a\\r\\nfake line"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("one\u2028two", "one\\u2028two"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("Zürich, São Paulo, 東京", "Zürich, São Paulo, 東京"),
    ],
)
def test_what_could_fool_a_reader_is_escaped(text, expected):
    assert for_people(text) == expected


@given(st.text(alphabet=st.sampled_from("token=:'\"/@ ?&Bearr1{}\\"), max_size=400))
def test_no_text_breaks_the_rules(text):
    redact_text(text)


def test_secrets_that_are_replaced_some_day_are_forgotten_when_enough_others_have_come():
    for number in range(PASSING_SECRETS + 1):
        register_passing_secret(f"passing-value-{number:03}")
    assert redact_text("passing-value-001 passing-value-064") == "*** ***"
    assert redact_text("passing-value-000") == "passing-value-000"
    register_passing_secret("abc")  # too short to be known by its value
    assert redact_text("abc") == "abc"
