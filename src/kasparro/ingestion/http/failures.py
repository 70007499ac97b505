"""The one edge where what the network and aiohttp raise becomes an error of ours, with its place and without credentials."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import aiohttp

from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.http.guarded import AddressRefused, refused_address

Redact = Callable[[str], str]

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
_OUT_OF_DATE: Final = frozenset({9, 10})
_OTHER_HOST: Final = frozenset({62, 64})
"""Codes of OpenSSL for what is wrong with a certificate (`X509_V_ERR_...`)."""
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
)
_CLIENT_CERTIFICATE: Final = "tls: {cert: ..., key: ...}"
_IF_IT_WANTS_ONE: Final = (
    f"If it stays: a server that wants a client certificate ends so, too ({_CLIENT_CERTIFICATE})"
)
"""With TLS 1.3 a server refuses a client after the handshake, and what it says is often lost with the connection."""
_ABOUT_CERTIFICATES: Final = re.compile(r"CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED")


@contextmanager
def translated(place: str, redact: Redact) -> Generator[None]:
    """Whatever goes wrong inside leaves as a `SourceError` that says where."""
    try:
        yield
    except SourceError as error:
        raise located(error, place, redact) from _cause(error.__cause__, redact)
    except (aiohttp.ClientError, OSError) as error:
        raise located(_translate(error, secured=place.startswith("https:")), place, redact) from _cause(
            error, redact
        )


def located(error: SourceError, place: str, redact: Redact) -> SourceError:
    """Add the place to an error that does not have one, and take credentials out of what it says."""
    said = redact(error.message)
    if error.place is None:
        error.place, said = place, f"{place}: {said}"
    error.message, error.args = said, (said,)
    error.hint = None if error.hint is None else redact(error.hint)
    return error


def _translate(error: aiohttp.ClientError | OSError, *, secured: bool) -> SourceError:  # noqa: PLR0911  # one for each kind
    match error:
        case aiohttp.ClientPayloadError():
            return TruncatedContent("the answer was cut off before its end")
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_refused(error)
        case aiohttp.ClientError() | OSError() if alert := _alert(error):
            return AuthenticationFailed(
                f"the server ends the connection, because of the client certificate or the lack of one: {alert}",
                hint=f"Declare the certificate it asks for: {_CLIENT_CERTIFICATE}",
            )
        case aiohttp.ClientConnectorSSLError(os_error=ssl.SSLError(reason=str() as reason)) if (
            reason in _NO_TLS
        ):
            return PermanentSourceError(
                "the server does not speak TLS there", hint="Check the port; is the address one of http://?"
            )
        case aiohttp.ClientConnectorError(os_error=AddressRefused() as refused):
            return refused_address(error.host, str(refused))
        case aiohttp.ClientResponseError():
            return UnexpectedContent(f"the answer is not proper HTTP: {' '.join(error.message.split())}")
        case aiohttp.InvalidURL():
            return PermanentSourceError("is not an address that can be asked")
        case aiohttp.ServerDisconnectedError():
            return TransientSourceError(
                "the server closed the connection without an answer",
                hint=_IF_IT_WANTS_ONE if secured else None,
            )
        case aiohttp.ClientConnectorError():
            reason = error.strerror or str(error)
            hint = "Check the source's `url`, and that the server is up"
            return TransientSourceError(f"cannot be reached: {reason}", hint=hint)
        case _:
            return TransientSourceError(
                f"the connection failed: {error}", hint=_IF_IT_WANTS_ONE if secured else None
            )


def _certificate_refused(error: aiohttp.ClientConnectorCertificateError) -> SourceError:
    found = error.certificate_error
    code = getattr(found, "verify_code", 0)
    reason = getattr(found, "verify_message", None) or str(found)
    hint = "Credentials are sent only to servers that prove who they are"
    if code in _UNKNOWN_AUTHORITY:
        hint = "If it is of an authority of your own, declare that one: tls: {ca: authority.pem}"
    elif code in _OUT_OF_DATE:
        hint = "Whoever runs the server has to renew it; check the clock of this machine, too"
    elif code in _OTHER_HOST:
        hint = "The address has to name the host as the certificate does"
    return PermanentSourceError(f"the server's certificate is not valid: {reason}", hint=hint)


def _alert(error: BaseException) -> str | None:
    """What the server says of our certificate, by TLS (RFC 8446, section 6.2), where that is what went wrong."""
    while_looking: BaseException | None = error
    while while_looking is not None:
        os_error = getattr(while_looking, "os_error", while_looking)
        reason = str(getattr(os_error, "reason", "") or "")
        if isinstance(os_error, ssl.SSLError) and "ALERT" in reason and _ABOUT_CERTIFICATES.search(reason):
            return reason.replace("_", " ").lower()
        while_looking = while_looking.__cause__ or while_looking.__context__
    return None


def _cause(error: BaseException | None, redact: Redact) -> BaseException | None:
    """An error whose text shows a credential must not be chained: tracebacks are logged."""
    while_shown = error
    while while_shown is not None:
        if redact(text := f"{while_shown} {while_shown!r}") != text:
            return None
        while_shown = while_shown.__cause__ or while_shown.__context__
    return error
