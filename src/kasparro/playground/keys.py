"""The credentials of one playground: made by whoever starts it, checked by the two APIs. None is built in."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field

from kasparro.core.errors import ConfigurationError

_SENDABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class PlaygroundKeys:
    """The key of the `ourairports` API and the bearer token of the `airportsdata` API.

    Raises ConfigurationError for a value no HTTP header can carry.
    """

    api_key: str = field(repr=False)
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("API key", self.api_key), ("token", self.token)):
            if not _SENDABLE.fullmatch(value):
                raise ConfigurationError(
                    f"the playground's {name} is empty or holds a character that no header can carry",
                    hint="Use visible ASCII characters without spaces",
                )

    @classmethod
    def generate(cls) -> PlaygroundKeys:
        return cls(api_key=secrets.token_urlsafe(24), token=secrets.token_urlsafe(24))


def same_secret(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(given.encode(), expected.encode())
