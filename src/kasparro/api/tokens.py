"""JSON Web Tokens in, callers out: signatures by the keys of a JWKS, from a file or an address, and what the claims allow.

`Access` asks about everything that looks like a token. An algorithm is taken only from the list of the settings, never from the
token alone; a token has to be for us, by our issuer, and to end.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import jwt
import structlog

from kasparro.api.exchange import Caller
from kasparro.api.grants import GRANTS
from kasparro.api.signing_keys import SigningKeys
from kasparro.core.config import Scope, Settings

log = structlog.get_logger(__name__)

LONGEST: Final = 8192
PARTS: Final = 3
REQUIRED: Final = ["exp", "iss", "aud", "sub"]


class Tokens:
    def __init__(self, settings: Settings, keys: SigningKeys) -> None:
        self._keys = keys
        self._algorithms = list(settings.jwt_algorithms)
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._leeway = settings.jwt_leeway_seconds
        self._claim = settings.jwt_scope_claim
        self._scopes = settings.jwt_scopes or {scope.value: scope for scope in Scope}

    async def verify(self, secret: bytes) -> Caller | None:
        """Who has this token; None when it is none, or not a good one. Raises `KeysUnavailable`."""
        if len(secret) > LONGEST or secret.count(b".") != PARTS - 1:
            return None
        try:
            header = jwt.get_unverified_header(secret)
        except (jwt.InvalidTokenError, RecursionError):
            return None
        if header.get("alg") not in self._algorithms:
            return None
        key = await self._keys.find(header.get("kid"), header["alg"])
        return None if key is None else self._caller(secret, key, header["alg"])

    def _caller(self, secret: bytes, key: jwt.PyJWK, algorithm: str) -> Caller | None:
        try:
            claims = jwt.decode(
                secret,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": REQUIRED, "strict_aud": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            log.info("token.refused", reason=type(error).__name__)
            return None
        granted = [
            GRANTS[self._scopes[name]] for name in names_in(claims.get(self._claim)) if name in self._scopes
        ]
        subject = hashlib.sha256(str(claims["sub"]).encode("utf-8", "backslashreplace")).hexdigest()[:16]
        return Caller(frozenset().union(*granted), has_key=True, name=f"jwt_{subject}")


def names_in(claim: Any) -> list[str]:
    """The scopes of a claim: a text with spaces between them (RFC 8693), or a list of texts."""
    match claim:
        case str():
            return claim.split()
        case list():
            return [name for name in claim if isinstance(name, str)]
        case _:
            return []
