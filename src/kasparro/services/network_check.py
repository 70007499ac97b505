"""Whether a host can be reached: addresses, a connection, a certificate. An address in, steps out; nothing is asked of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from kasparro.core import clock
from kasparro.services.check_steps import Outcome, Step, stopwatch

NAME: Final = "name resolution"
CONNECTION: Final = "connection"
TLS: Final = "tls"
SOON: Final = timedelta(days=14)
_PORTS: Final = {"http": 80, "https": 443}
_MOST_ADDRESSES: Final = 4


async def network_steps(
    url: str, seconds: float, *, credential: bool, tls: ssl.SSLContext | bool = True
) -> AsyncIterator[Step]:
    """Look at the host of *url*, within *seconds* each. Ends after the first failure.

    *credential*: whether one is sent there. *tls*: what certificates are verified with; True: the authorities of the system.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    named = await _resolved(host, port, seconds)
    yield named
    if named.outcome is Outcome.FAIL:
        return
    connected = await _connected(host, port, seconds)
    yield connected
    if connected.outcome is Outcome.FAIL:
        return
    if parts.scheme == "https":
        yield await _secured(host, port, seconds, tls=tls)
    elif credential and not _is_loopback(host):
        hint = "Declare the https:// address, if there is one"
        yield Step(TLS, Outcome.WARN, "plain http: everybody on the way can read the credential", hint)
    else:
        yield Step(TLS, Outcome.SKIPPED, "plain http")


async def _resolved(host: str, port: int, seconds: float) -> Step:
    took = stopwatch()
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        hint = "Check the spelling of `url`, and whether this machine can resolve names (DNS)"
        return Step(NAME, Outcome.FAIL, f"{host} has no address: {why}", hint, took())
    except TimeoutError:
        hint = "Check the name server of this machine"
        return Step(NAME, Outcome.FAIL, f"{host}: no answer within {seconds:g} s", hint, took())
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    more = f" and {len(addresses) - _MOST_ADDRESSES} more" if len(addresses) > _MOST_ADDRESSES else ""
    shown = ", ".join(addresses[:_MOST_ADDRESSES]) + more
    return Step(NAME, Outcome.OK, shown if shown == host else f"{host} is {shown}", milliseconds=took())


async def _connected(host: str, port: int, seconds: float) -> Step:
    took = stopwatch()
    hint = "Check the port, and whether a firewall or a proxy stands between (proxies of the environment are not used)"
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Step(CONNECTION, Outcome.FAIL, f"port {port}: no answer within {seconds:g} s", hint, took())
    except OSError as error:
        return Step(CONNECTION, Outcome.FAIL, f"port {port}: {error.strerror or error}", hint, took())
    milliseconds = took()
    await _close(writer)
    return Step(CONNECTION, Outcome.OK, f"port {port}", milliseconds=milliseconds)


async def _secured(host: str, port: int, seconds: float, *, tls: ssl.SSLContext | bool) -> Step:
    took = stopwatch()
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port, ssl=tls)
    except ssl.SSLCertVerificationError as error:
        hint = (
            "Check the host name and the clock of this machine; a private authority is declared as `tls.ca`"
        )
        return Step(TLS, Outcome.FAIL, f"the certificate is refused: {error.verify_message}", hint, took())
    except (OSError, TimeoutError) as error:
        why = getattr(error, "reason", None) or error.__class__.__name__
        return Step(
            TLS, Outcome.FAIL, f"no TLS on port {port}: {why}", "Check scheme and port of `url`", took()
        )
    secured = writer.get_extra_info("ssl_object")
    certificate = secured.getpeercert() or {}
    version = secured.version()
    milliseconds = took()
    await _close(writer)
    return certified(certificate, version, clock.now(), milliseconds)


def certified(
    certificate: Mapping[str, Any], version: str, now: datetime, milliseconds: int | None = None
) -> Step:
    """What a certificate that was accepted says of itself; one that ends soon is a warning."""
    issuer = {name: value for entry in certificate.get("issuer", ()) for name, value in entry}
    by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    left = until - now
    detail = f"{version}, issued by {by}, valid until {until:%Y-%m-%d} ({left.days} days)"
    if left < SOON:
        return Step(
            TLS, Outcome.WARN, detail, "The certificate ends soon: ask the operator of the API", milliseconds
        )
    return Step(TLS, Outcome.OK, detail, milliseconds=milliseconds)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Hang up; how the other side takes it is of no interest."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
