"""What every error of ours has, and the errors of configuration and start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class KasparroError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One thing to fix: where it stands, what is wrong with it."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part)
        return f"{place}: {self.message}" if self.file else self.message


class ConfigurationError(KasparroError):
    """The configuration is not usable."""

    code = "configuration"
    exit_code = 2

    def __init__(self, *problems: ConfigurationProblem | str, hint: str | None = None) -> None:
        self.problems = tuple(ConfigurationProblem(p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(map(str, self.problems)) or None, hint=hint)


class NotSupportedYet(ConfigurationError):
    """The configuration asks for something this version does not do yet."""

    code = "not_supported_yet"


class EmbeddedServerError(KasparroError):
    """The embedded PostgreSQL could not be started."""

    code = "embedded_server"
