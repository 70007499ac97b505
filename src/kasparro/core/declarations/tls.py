"""What a connection is secured with beyond the usual: `tls`. Files by their paths, which `ingestion.http.tls` reads."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.declarations.expressions import Text


class Tls(Declaration):
    """Authorities to trust and a certificate to show. That certificates are verified cannot be turned off."""

    ca: Text | None = Field(
        None,
        description="A file with certificates of authorities (PEM) to trust besides those of the system.",
    )
    cert: Text | None = Field(
        None, description="A file with the client certificate to show, and its chain (PEM)."
    )
    key: Text | None = Field(
        None, description="A file with the private key of `cert` (PEM); left out: it is in `cert`."
    )
    key_password: SecretStr | None = Field(
        None, min_length=1, description="What the key is encrypted with; take it from the environment."
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Tls:
        if self.ca is None and self.cert is None:
            refuse("needs ca, cert, or both")
        for name in ("key", "key_password"):
            if self.cert is None and getattr(self, name) is not None:
                refuse("has no meaning without cert", at=(name,))
        return self
