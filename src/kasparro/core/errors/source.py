"""A source did not deliver."""

from __future__ import annotations

from datetime import datetime

from kasparro.core.errors.base import KasparroError


class SourceError(KasparroError):
    """The source did not deliver."""

    code = "source"

    def __init__(
        self, message: str | None = None, *, place: str | None = None, hint: str | None = None
    ) -> None:
        self.place = place
        super().__init__(f"{place}: {message}" if place and message else message, hint=hint)


class TransientSourceError(SourceError):
    """The source cannot deliver just now."""

    code = "source_unavailable"

    def __init__(
        self,
        message: str | None = None,
        *,
        place: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        self.tried_enough = False
        """The request was tried as often as its declaration says: whoever catches this need not ask again."""
        super().__init__(message, place=place, hint=hint)


class SourceParked(SourceError):
    """The source may not be asked before a certain time, for which it *asked* or a declared limit; the run goes on then."""

    code = "source_parked"

    def __init__(self, message: str, *, resume_at: datetime, asked: bool = False) -> None:
        self.resume_at, self.asked = resume_at, asked
        super().__init__(message, hint="A worker goes on then by itself; `kasparro ingest --force` asks now")


class CircuitOpen(SourceError):
    """The source failed too often in a row and is left alone for a while."""

    code = "circuit_open"


class PermanentSourceError(SourceError):
    """The source refuses, and asking again changes nothing."""

    code = "source_refused"
    status: int | None = None  # of the HTTP answer that said so, where it was one


class AuthenticationFailed(PermanentSourceError):
    """The source does not accept the credentials."""

    code = "auth_failed"


class UnexpectedContent(PermanentSourceError):
    """The source answered with something that is not what was declared."""

    code = "unexpected_content"


class TruncatedContent(TransientSourceError):
    """The answer ended before its end."""

    code = "truncated_content"


class ResponseTooLarge(PermanentSourceError):
    """The answer is larger than the limits allow."""

    code = "response_too_large"


class FileTooLarge(PermanentSourceError):
    """The file is larger, or unpacks to more, than the limits allow."""

    code = "file_too_large"


class PathRefused(PermanentSourceError):
    """The path leads to something that is no file, or out of the declared root."""

    code = "path_refused"


class PaginationLoop(PermanentSourceError):
    """The source keeps naming pages that were already fetched in this run."""

    code = "pagination_loop"


class ForeignOrigin(PermanentSourceError):
    """The source sends us to an origin it was not declared for."""

    code = "foreign_origin"


class SourceChanged(PermanentSourceError):
    """The source changed while it was being read."""

    code = "source_changed"


class TapFailed(PermanentSourceError):
    """The Singer tap did not deliver."""

    code = "tap_failed"
