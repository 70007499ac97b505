"""JSON Web Tokens (RFC 7519) as declared: the claims and the key in, the signed text out.

The library that signs is imported when something is to be signed: few sources need it, and all would wait for it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kasparro.core.errors import ConfigurationError
from kasparro.core.etl_config import Signing

_LEEWAY: Final = timedelta(seconds=30)
"""A token is dated back so far, or a tenth of its life: the clock of who reads it may be a little behind."""
_LARGEST_KEY: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that is known to fit its algorithm, and what it signs."""

    declared: Signing
    key: str = field(repr=False)
    audience: str | None = None

    def sign(self, now: datetime, *, once: bool = False) -> tuple[str, datetime]:
        """A token and when it expires. *once* gives it an id, so that who reads it can refuse it a second time."""
        from jwt import encode  # noqa: PLC0415  # see above

        issued = now - min(_LEEWAY, self.declared.lifetime / 10)
        expires = issued + self.declared.lifetime
        named = {
            "iss": self.declared.issuer,
            "sub": self.declared.subject,
            "aud": self.declared.audience or self.audience,
            "jti": secrets.token_urlsafe(16) if once else None,
        }
        claims: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        claims |= {"iat": int(issued.timestamp()), "exp": int(expires.timestamp())}
        headers = None if self.declared.key_id is None else {"kid": self.declared.key_id}
        text = encode({**self.declared.claims, **claims}, self.key, self.declared.algorithm, headers=headers)
        return text, expires


def signer_of(declared: Signing, folder: Path, now: datetime, audience: str | None = None) -> Signer:
    """Read the key. Raises `ConfigurationError` if nothing can be signed with it; *audience* stands in for the declared one."""
    from jwt.exceptions import PyJWTError  # noqa: PLC0415  # see above

    signer = Signer(declared, _key(declared, folder), audience)
    try:
        signer.sign(now)
    except (PyJWTError, ValueError, TypeError, NotImplementedError) as error:
        raise ConfigurationError(
            f"auth: the key is not one that {declared.algorithm} signs with",
            hint="RS, PS, ES and EdDSA need a private key in PEM, with its first and last line and without a password",
        ) from error
    return signer


def _key(declared: Signing, folder: Path) -> str:
    if declared.key is not None:
        text = declared.key.get_secret_value()
        # environment variables often hold the lines of a PEM with \n written out
        return text.replace("\\n", "\n") if text.startswith("-----BEGIN") else text
    file = (folder / Path(declared.key_file or "").expanduser()).absolute()
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(_LARGEST_KEY)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"auth.key_file: {file} cannot be read ({reason})") from error
