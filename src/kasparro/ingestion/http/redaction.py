"""Text that may show a credential in, the same text without it out. Everything logged, raised or stored goes through here."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from kasparro.core.redaction import spellings

MASK: Final = "***"
SENSITIVE_ENDINGS: Final = (
    *("token", "key", "secret", "password", "passwd", "pwd", "signature", "sig", "credential", "auth"),
)
_QUERY_VALUE: Final = re.compile(
    rf"([?&;][^=?&;#\s\"'<>]*?(?:{'|'.join(SENSITIVE_ENDINGS)})=)[^&#\s\"'<>]+", re.IGNORECASE
)
_USER_INFO: Final = re.compile(r"(https?://)[^/?#\s@\"'<>]+@", re.IGNORECASE)
_SHORT: Final = 4
TELLING: Final = 8
"""From this length on, a text that equals a secret is taken for it; a shorter one may be chance."""

LEARNED: Final = 16
"""So many secrets that came in answers are kept in mind: a token that was renewed so often is of no use to anybody."""


class Redactor:
    """Takes out given secrets, plain or encoded, and query values whose names say that they are secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._given = tuple(secrets)
        self._learned: deque[str] = deque(maxlen=LEARNED)
        self._compile()

    @property
    def learned(self) -> Collection[str]:
        """The secrets that came in answers, as they are at the moment of asking."""
        return self._learned

    def learn(self, secret: str) -> None:
        """Take *secret* out from now on, too."""
        if secret not in self._learned and secret not in self._given:
            self._learned.append(secret)
            self._compile()

    def _compile(self) -> None:
        known = {spelling for secret in (*self._given, *self._learned) for spelling in spellings(secret)} - {
            ""
        }
        self._telling = tuple(spelling for spelling in known if len(spelling) >= TELLING)
        alternatives = [_pattern(spelling) for spelling in sorted(known, key=len, reverse=True)]
        self._secrets = re.compile("|".join(alternatives)) if alternatives else None

    def __call__(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        if "=" in text:
            text = _QUERY_VALUE.sub(rf"\1{MASK}", text)
        return _USER_INFO.sub(rf"\1{MASK}@", text) if "@" in text else text

    def shows_secret(self, text: str) -> bool:
        """Whether *text* contains a given secret; those too short to tell from chance do not count."""
        return any(spelling in text for spelling in self._telling)


def _pattern(spelling: str) -> str:
    """A secret of three characters would take pieces out of words, so it must stand alone."""
    escaped = re.escape(spelling)
    return escaped if len(spelling) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"
