"""Keys of the API as they are made, kept and shown. The command line makes them, storage keeps them, the API checks them."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel

from kasparro.core.config import Scope

KEY: Final = re.compile(r"(?P<prefix>kas_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
"""The prefix is no secret: it tells keys apart in lists and logs. What follows it are 32 random bytes."""


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key that is to be made."""

    name: str
    scope: Scope
    expires_at: datetime | None = None
    rate_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ActiveKey:
    """What is needed to check a key that is not revoked."""

    prefix: str
    digest: bytes
    scope: Scope
    rate_per_minute: int | None
    expires_at: datetime | None


class ApiKeyView(BaseModel):
    """A key as it is listed."""

    prefix: str
    name: str
    scope: Scope
    rate_per_minute: int | None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None

    def state(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def new_key() -> str:
    return f"kas_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def prefix_of(key: str) -> str | None:
    """The prefix of a key of our making; None for anything else."""
    parts = KEY.fullmatch(key)
    return parts["prefix"] if parts else None


def digest_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
