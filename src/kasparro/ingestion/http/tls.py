"""TLS as declared: `tls` in, the contexts that connections are made with out. Certificates are verified, whatever is declared."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from kasparro.core.errors import ConfigurationError
from kasparro.core.etl_config import Tls


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """`own` for the source, its token endpoint and its login; `other`, without the client certificate, for hosts beyond.

    True stands for what aiohttp does by itself: the authorities of the system, host names checked.
    """

    own: ssl.SSLContext | bool = True
    other: ssl.SSLContext | bool = True


def tls_contexts(declared: Tls | None, folder: Path) -> TlsContexts:
    """Read the files *declared*, relative to *folder*. Raises `ConfigurationError` for one that cannot be used."""
    if declared is None:
        return TlsContexts()
    own, other = _trusting(declared.ca, folder), _trusting(declared.ca, folder)
    if declared.cert is not None:
        _show_certificate(own, declared, folder)
    return TlsContexts(own, other)


def _trusting(ca: str | None, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        file = _file(ca, folder, "tls.ca")
        try:
            context.load_verify_locations(cafile=file)
        except (ssl.SSLError, OSError) as error:
            raise _unusable(file, "tls.ca", "certificates (PEM)") from error
    return context


def _show_certificate(context: ssl.SSLContext, declared: Tls, folder: Path) -> None:
    cert = _file(declared.cert or "", folder, "tls.cert")
    key = cert if declared.key is None else _file(declared.key, folder, "tls.key")
    password = declared.key_password.get_secret_value() if declared.key_password else ""
    try:
        context.load_cert_chain(cert, key, lambda: password)  # never asks a person for it
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"tls: {cert} and {key} are not a certificate (PEM) and the key that belongs to it",
            hint="Check that the key is that of the certificate, and `tls.key_password` if it is encrypted",
        ) from error


def _file(path: str, folder: Path, where: str) -> Path:
    file = (folder / Path(path).expanduser()).absolute()
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise ConfigurationError(
            f"{where}: {file} cannot be read ({error.strerror or type(error).__name__})"
        ) from error


def _unusable(file: Path, where: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {file} does not hold {what}")
