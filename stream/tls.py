"""TLS contexts from PEM files: certificates are always verified, host names included."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def client_context(
    ca: Path | None,
    certificate: Path | None = None,
    key: Path | None = None,
    key_password: str | None = None,
    *,
    names: tuple[str, str, str] = ("CA", "certificate", "key"),
) -> ssl.SSLContext:
    """A client's context.

    Args:
        ca: PEM file of the authorities that are trusted; None: the system's.
        certificate: PEM file with the client's own certificate and its chain; None: it shows none.
        key: PEM file of the certificate's private key; None: it is in the same file.
        key_password: of an encrypted key.
        names: what the three files are called in an error, such as their settings.

    Raises:
        ValueError: a file cannot be read or used; names it, and never shows what is in it.
    """
    named_ca, named_certificate, named_key = names
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"{named_ca}: {ca} holds no certificate in PEM format") from None
    except OSError as error:
        raise ValueError(f"{named_ca}: {ca} cannot be read: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is None:
        return context
    for name, path in ((named_certificate, certificate), (named_key, key)):
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from None
    try:
        # A password is always given: OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(certificate, key, password=key_password or "")
    except (ssl.SSLError, ValueError):
        files = f"{certificate} and {key}" if key is not None else str(certificate)
        raise ValueError(
            f"{named_certificate}: {files} are no certificate with its private key in PEM format, or the key's "
            f"password is wrong ({named_key}_PASSWORD)"
        ) from None
    return context
