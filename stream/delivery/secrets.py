"""Reads secrets and addresses from where the delivery file says they are. They are never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream.delivery.signing import SecretWrong, secrets_of
from stream.delivery.targets import url_problem

if TYPE_CHECKING:
    from stream.delivery.model import DeliveryPlan, Given, Target

_LARGEST: Final = 64 * 1024


class NotGiven(ValueError):  # noqa: N818 - reads as what happened
    """A value is not where the file says it is, or cannot be used; the text does not repeat it."""


def read_given(given: Given) -> str:
    """The value. Files are read anew each time: what is rotated is used at once.

    Raises:
        NotGiven: it is not there, empty, or no text.
    """
    if given.kind == "text":
        return given.value
    if given.kind == "env":
        text = os.environ.get(given.value, "")
        if not text.strip():
            raise NotGiven(f"the environment variable {given.value} is not set")
        return text.strip()
    try:
        with Path(given.value).open("rb") as file:
            text = file.read(_LARGEST + 1).decode()
    except OSError as error:
        raise NotGiven(
            f"{given.value} cannot be read: {(error.strerror or 'no reason given').lower()}"
        ) from None
    except UnicodeDecodeError:
        raise NotGiven(f"{given.value} is not UTF-8 text") from None
    if not text.strip() or len(text) > _LARGEST:
        raise NotGiven(f"{given.value} is {'larger than 64 KiB' if text.strip() else 'empty'}")
    return text.strip()


def url_of(given: Given) -> str:
    """An address.

    Raises:
        NotGiven: it is not there, or is none.
    """
    text = read_given(given)
    problem = url_problem(text)
    if problem is not None:
        raise NotGiven(f"{given}: {problem}")
    return text


def signing_secrets(given: Given | None) -> tuple[bytes, ...]:
    """What signs webhooks; nothing where nothing is given.

    Raises:
        NotGiven: they are not there, or are none.
    """
    if given is None:
        return ()
    try:
        return secrets_of(read_given(given))
    except SecretWrong as wrong:
        raise NotGiven(f"{given}: {wrong}") from None


def missing(plan: DeliveryPlan) -> list[tuple[Target, str]]:
    """What of secrets, addresses and certificates cannot be read now: of each target the first."""
    found = []
    for target in plan.targets.values():
        try:
            _look(target)
        except NotGiven as wrong:
            found.append((target, str(wrong)))
    return found


def _look(target: Target) -> None:
    if target.url is not None:
        url_of(target.url)
    signing_secrets(target.secrets)
    http, mail = target.http, target.mail
    for given in (http.credentials, http.password, None if mail is None else mail.password):
        if given is not None:
            header_text(given)
    for path in (http.ca_file, http.cert_file, http.key_file, None if mail is None else mail.ca_file):
        if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise NotGiven(f"{path} cannot be read")


def header_text(given: Given) -> str:
    """A secret that travels in a line of a protocol.

    Raises:
        NotGiven: it is not there, or would end the line.
    """
    text = read_given(given)
    if not text.isprintable():
        raise NotGiven(f"{given}: must be one line of printable characters")
    return text
