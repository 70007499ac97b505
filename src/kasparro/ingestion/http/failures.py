"""The one edge where what the network and aiohttp raise becomes an error of ours, with its place and without credentials."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import aiohttp

from kasparro.core.errors import (
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)

Redact = Callable[[str], str]


@contextmanager
def translated(place: str, redact: Redact) -> Generator[None]:
    """Whatever goes wrong inside leaves as a `SourceError` that says where."""
    try:
        yield
    except SourceError as error:
        raise located(error, place, redact) from _cause(error.__cause__, redact)
    except (aiohttp.ClientError, OSError) as error:
        raise located(_translate(error), place, redact) from _cause(error, redact)


def located(error: SourceError, place: str, redact: Redact) -> SourceError:
    """Add the place to an error that does not have one, and take credentials out of what it says."""
    said = redact(error.message)
    if error.place is None:
        error.place, said = place, f"{place}: {said}"
    error.message, error.args = said, (said,)
    error.hint = None if error.hint is None else redact(error.hint)
    return error


def _translate(error: aiohttp.ClientError | OSError) -> SourceError:  # noqa: PLR0911  # one for each kind
    match error:
        case aiohttp.ClientPayloadError():
            return TruncatedContent("the answer was cut off before its end")
        case aiohttp.ClientConnectorCertificateError():
            return PermanentSourceError(
                f"the server's certificate is not valid: {error.certificate_error}",
                hint="Credentials are sent only to servers that prove who they are",
            )
        case aiohttp.ClientResponseError():
            return UnexpectedContent(f"the answer is not proper HTTP: {' '.join(error.message.split())}")
        case aiohttp.InvalidURL():
            return PermanentSourceError("is not an address that can be asked")
        case aiohttp.ServerDisconnectedError():
            return TransientSourceError("the server closed the connection without an answer")
        case aiohttp.ClientConnectorError():
            reason = error.strerror or str(error)
            hint = "Check the source's `url`, and that the server is up"
            return TransientSourceError(f"cannot be reached: {reason}", hint=hint)
        case _:
            return TransientSourceError(f"the connection failed: {error}")


def _cause(error: BaseException | None, redact: Redact) -> BaseException | None:
    """An error whose text shows a credential must not be chained: tracebacks are logged."""
    while_shown = error
    while while_shown is not None:
        if redact(text := f"{while_shown} {while_shown!r}") != text:
            return None
        while_shown = while_shown.__cause__ or while_shown.__context__
    return error
