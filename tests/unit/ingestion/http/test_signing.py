from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import SignedJwt
from kasparro.ingestion.http.signing import signer_of

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
SECRET = "a shared secret of more than thirty-two characters"
UNCHECKED = {"verify_exp": False, "verify_iat": False, "verify_aud": False}


@given(st.integers(10, 86_400))
def test_a_token_is_good_now_and_for_no_longer_than_declared(seconds):
    declared = SignedJwt(algorithm="HS256", key=SECRET, lifetime=timedelta(seconds=seconds))
    text, expires = signer_of(declared, Path(), NOW).sign(NOW)
    claims = jwt.decode(text, SECRET, ["HS256"], options=UNCHECKED)
    assert claims["iat"] < NOW.timestamp() < claims["exp"] == int(expires.timestamp())
    assert claims["exp"] - claims["iat"] <= seconds + 1
    assert expires - NOW >= timedelta(seconds=seconds) * 0.9


@pytest.mark.parametrize("once", [True, False])
def test_only_what_is_declared_is_claimed(once):
    declared = SignedJwt(algorithm="HS512", key=SECRET * 2, issuer="me", claims={"scope": ["a"], "n": 7})
    signer = signer_of(declared, Path(), NOW, audience="the-endpoint")
    first, second = (signer.sign(NOW, once=once)[0] for _ in range(2))
    claims = jwt.decode(first, SECRET * 2, ["HS512"], options=UNCHECKED)
    expected = {"iss": "me", "aud": "the-endpoint", "scope": ["a"], "n": 7}
    assert {name: value for name, value in claims.items() if name not in {"iat", "exp", "jti"}} == expected
    assert ("jti" in claims, first != second) == (once, once)
    assert "kid" not in jwt.get_unverified_header(first)


def test_a_signer_does_not_show_its_key():
    signer = signer_of(SignedJwt(algorithm="HS256", key=SECRET), Path(), NOW)
    assert SECRET not in repr(signer)
