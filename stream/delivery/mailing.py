"""E-mail by SMTP, in threads: STARTTLS or TLS, to an address that may be connected to."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from stream.delivery.addresses import AddressRefused, addresses_of
from stream.delivery.records import Outcome
from stream.delivery.secrets import header_text

if TYPE_CHECKING:
    from email.message import EmailMessage

    from stream.delivery.model import DeliveryPlan, Mail, Target

_TLS_PORT: Final = 465
_THREADS: Final = 4
_STEPS: Final = 3  # of a conversation that may each take the time-out
_SHOWN: Final = 200
_PERMANENT: Final = 500


class _Direct(smtplib.SMTP):
    """Connects to an address that was looked at, and checks the certificate against the host's name."""

    def __init__(self, mail: Mail, address: str, timeout_s: float) -> None:
        super().__init__(timeout=timeout_s)
        self._host = mail.host  # what starttls and SMTP_SSL check the certificate against
        self._address = address

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del host
        return socket.create_connection((self._address, port), timeout)


class _DirectTls(smtplib.SMTP_SSL, _Direct):
    def __init__(self, mail: Mail, address: str, timeout_s: float, context: ssl.SSLContext) -> None:
        smtplib.SMTP_SSL.__init__(self, timeout=timeout_s, context=context)
        self._host = mail.host
        self._address = address


class Mailer:
    """Sends messages. ``stop`` it at the end."""

    def __init__(self, plan: DeliveryPlan) -> None:
        self._allowed = plan.allowed
        self._pool = ThreadPoolExecutor(_THREADS, "cx-mail")

    def stop(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def send(self, target: Target, message: EmailMessage) -> Outcome:
        """Send once, and say what came of it.

        Raises:
            NotGiven: the password is not there.
        """
        mail = target.mail
        if mail is None:
            raise ValueError(f"{target.key} is no e-mail target")
        password = None if mail.password is None else header_text(mail.password)
        timeout_s = target.timeout_ms / 1000
        try:
            async with asyncio.timeout(_STEPS * timeout_s):
                places = await addresses_of(mail.host, mail.port, self._allowed)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(
                    self._pool, _talk, mail, places[0][1], password, message, timeout_s
                )
        except AddressRefused:
            return Outcome("failed", "address_refused")
        except TimeoutError:
            return Outcome("failed", "timeout")
        except socket.gaierror:
            return Outcome("failed", "dns")
        except ssl.SSLError:
            return Outcome("failed", "tls")
        except (OSError, smtplib.SMTPException) as error:
            return _outcome(error)


def _talk(mail: Mail, address: str, password: str | None, message: EmailMessage, timeout_s: float) -> Outcome:
    context = ssl.create_default_context(cafile=mail.ca_file)
    tls = mail.port == _TLS_PORT
    server = _DirectTls(mail, address, timeout_s, context) if tls else _Direct(mail, address, timeout_s)
    with server:
        server.connect(mail.host, mail.port)
        if mail.require_tls and not tls:
            server.starttls(context=context)
        if mail.username is not None and password is not None:
            server.login(mail.username, password)
        refused = server.send_message(message)
    return Outcome("delivered", "smtp_partly" if refused else "smtp_250")


def _outcome(error: OSError | smtplib.SMTPException) -> Outcome:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Outcome("failed", "smtp_auth")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome("failed", "smtp_no_tls")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        worst = min(codes, default=_PERMANENT)
        return Outcome("refused" if worst >= _PERMANENT else "failed", f"smtp_{worst}")
    if isinstance(error, smtplib.SMTPConnectError):
        return Outcome("failed", f"smtp_{error.smtp_code}")
    if isinstance(error, smtplib.SMTPResponseException):
        code = error.smtp_code
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
        detail = "".join(each if each.isprintable() else " " for each in said)[:_SHOWN]
        return Outcome("refused" if code >= _PERMANENT else "failed", f"smtp_{code}", None, detail)
    return Outcome("failed", "connection")
