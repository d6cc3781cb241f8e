"""Reads the targets of a receiver: ``webhook_configs``, ``slack_configs`` and the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from stream.delivery.model import HOLD_MS, RESEND_MS, TIMEOUT_MS, Given, Http, Kind, Mail, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.reading import Place

_COMMON: Final = ("send_resolved", "hold_out", "timeout")
_HTTP: Final = ("http_config",)
_MAIL: Final = ("from", "smarthost", "require_tls", "auth_username", "auth_password")
_DEFAULTS: Final = tuple(f"smtp_{name}" for name in _MAIL)
_GIVEN: Final = ("", "_env", "_file")

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253}):(\d{1,5})", re.ASCII)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
_MOST: Final = 100
_LARGEST_PORT: Final = 65_535
_LONGEST_TIMEOUT_MS: Final = 60_000


class MailDefaults(NamedTuple):
    """What ``global`` says of mail."""

    fields: dict[str, Place]


def mail_defaults(place: Place | None) -> MailDefaults:
    """Of ``global``: ``smtp_from``, ``smtp_smarthost`` and the others, for every ``email_configs``."""
    if place is None:
        return MailDefaults({})
    known = [*_DEFAULTS, "smtp_auth_password_env", "smtp_auth_password_file"]
    fields = place.mapping(known, what="defaults such as smtp_smarthost")
    return MailDefaults({name.removeprefix("smtp_"): value for name, value in fields.items()})


def targets_of(receiver: str, fields: dict[str, Place], mail: MailDefaults) -> tuple[Target, ...]:
    """Every target of one receiver.

    Raises:
        RuleError: the first thing wrong.
    """
    found: list[Target] = []
    for name, (kind, read) in KINDS.items():
        items = fields[name].items(f"a list: - {_FIRST[kind]}") if name in fields else []
        if len(items) > _MOST:
            raise fields[name].error(f"has more than {_MOST} entries")
        for number, item in enumerate(items, 1):
            key = f"{receiver}/{kind}" + (str(number) if number > 1 else "")
            found.append(read(key, receiver, item, mail))
    return tuple(found)


def _webhook(key: str, receiver: str, place: Place, mail: MailDefaults) -> Target:
    del mail
    fields = place.mapping((*_names("url"), *_names("secret"), *_HTTP, *_COMMON), what="a webhook")
    return _target(
        key,
        receiver,
        Kind.WEBHOOK,
        place,
        fields,
        url=_url(place, fields, "url"),
        secrets=_secret(place, fields, "secret"),
        http=_http(fields.get("http_config")),
    )


def _slack(key: str, receiver: str, place: Place, mail: MailDefaults) -> Target:
    del mail
    refused = dict.fromkeys(("channel", "username"), "is what the webhook was made for, in Slack; drop it")
    fields = place.mapping((*_names("api_url"), *_HTTP, *_COMMON), refused, what="a Slack webhook")
    url = _secret(place, fields, "api_url", required=True)
    return _target(key, receiver, Kind.SLACK, place, fields, url=url, http=_http(fields.get("http_config")))


def _teams(key: str, receiver: str, place: Place, mail: MailDefaults) -> Target:
    del mail
    fields = place.mapping((*_names("webhook_url"), *_HTTP, *_COMMON), what="a Teams webhook")
    url = _secret(place, fields, "webhook_url", required=True)
    return _target(key, receiver, Kind.TEAMS, place, fields, url=url, http=_http(fields.get("http_config")))


def _alertmanager(key: str, receiver: str, place: Place, mail: MailDefaults) -> Target:
    del mail
    known = (*_names("url"), "resend_delay", "resolve_timeout", *_HTTP, *_COMMON)
    fields = place.mapping(known, what="an Alertmanager")
    resend = fields["resend_delay"].duration(least=1_000) if "resend_delay" in fields else RESEND_MS
    hold = fields["resolve_timeout"].duration(least=1_000) if "resolve_timeout" in fields else HOLD_MS
    if hold < 2 * resend:
        at = fields.get("resolve_timeout", place)
        raise at.error(
            "must be at least twice resend_delay: else one push that is lost ends alerts that fire"
        )
    return _target(
        key,
        receiver,
        Kind.ALERTMANAGER,
        place,
        fields,
        url=_url(place, fields, "url"),
        http=_http(fields.get("http_config")),
        resend_ms=resend,
        hold_ms=hold,
    )


def _email(key: str, receiver: str, place: Place, mail: MailDefaults) -> Target:
    own = place.mapping(
        ("to", "tls_config", *_MAIL, *_names("auth_password"), *_COMMON), what="an e-mail address"
    )
    if "to" not in own:
        raise place.missing("to")
    given = {name for name in mail.fields if not name.startswith("auth_password")} - own.keys()
    if not any(f"auth_password{ending}" in own for ending in _GIVEN):
        given |= {name for name in mail.fields if name.startswith("auth_password")}
    fields = own | {name: mail.fields[name] for name in given}
    for name in ("from", "smarthost"):
        if name not in fields:
            raise place.missing(name, f"missing; here, or as global.smtp_{name}")
    found = _HOST.fullmatch(fields["smarthost"].text(300, what="host:port"))
    if found is None or not 1 <= int(found[2]) <= _LARGEST_PORT:
        raise fields["smarthost"].error("must be host:port, such as smtp.example.org:587")
    username = fields["auth_username"].text(320) if "auth_username" in fields else None
    password = _secret(place, fields, "auth_password")
    tls = fields["require_tls"].boolean() if "require_tls" in fields else True
    if (username is None) != (password is None):
        raise place.missing(
            "auth_password" if password is None else "auth_username", "missing; both go together"
        )
    if password is not None and not tls:
        raise fields["require_tls"].error(
            "a password needs TLS, it would travel in the clear; drop require_tls"
        )
    return _target(
        key,
        receiver,
        Kind.EMAIL,
        place,
        own,
        mail=Mail(
            to=_addresses(own["to"]),
            sender=_addresses(fields["from"], most=1)[0],
            host=found[1].strip("[]"),
            port=int(found[2]),
            require_tls=tls,
            username=username,
            password=password,
            ca_file=_tls(own["tls_config"], ("ca_file",)).get("ca_file") if "tls_config" in own else None,
        ),
    )


def _addresses(place: Place, most: int = 50) -> tuple[str, ...]:
    """As Alertmanager has them, in one text with commas; or as a list."""
    parts = [item.text(320) for item in place.items()] if place.is_list else place.text(4_000).split(",")
    found = tuple(part.strip() for part in parts)
    if not 1 <= len(found) <= most:
        raise place.error(f"must be 1 to {most} addresses" if most > 1 else "must be one address")
    for address in found:
        if not _ADDRESS.fullmatch(address):
            raise place.error("must be an address such as care@example.org, and nothing else")
    return found


def _target(
    key: str, receiver: str, kind: Kind, place: Place, fields: dict[str, Place], **own: Any
) -> Target:
    timeout = fields["timeout"].duration(least=100) if "timeout" in fields else TIMEOUT_MS
    if timeout > _LONGEST_TIMEOUT_MS:
        raise fields["timeout"].error("must be at most 1m: others wait meanwhile")
    return Target(
        key,
        receiver,
        kind,
        send_resolved=fields["send_resolved"].boolean() if "send_resolved" in fields else True,
        hold_out=fields["hold_out"].boolean() if "hold_out" in fields else False,
        timeout_ms=timeout,
        line=place.line,
        **own,
    )


def _names(name: str) -> list[str]:
    return [name + ending for ending in _GIVEN]


def _given(fields: dict[str, Place], name: str) -> tuple[Place, Given] | None:
    there = [each for each in _names(name) if each in fields]
    if len(there) > 1:
        raise fields[there[1]].error(f"{there[0]} is given as well; one of them is enough")
    if not there:
        return None
    value = fields[there[0]]
    if there[0].endswith("_env"):
        text = value.text(what="the name of an environment variable")
        if not _VARIABLE.fullmatch(text):
            raise value.error("must be the name of an environment variable; the secret itself goes into it")
        return value, Given("env", text)
    if there[0].endswith("_file"):
        return value, Given("file", value.text(4_096, what="the path of a file"))
    return value, Given("text", value.text(4_096))


def _url(place: Place, fields: dict[str, Place], name: str) -> Given:
    found = _given(fields, name)
    if found is None:
        raise place.missing(name, f"missing; {name}, {name}_env or {name}_file says where to send")
    value, given = found
    if given.kind == "text" and (problem := url_problem(given.value)):
        raise value.error(problem)
    return given


def _secret(place: Place, fields: dict[str, Place], name: str, *, required: bool = False) -> Given | None:
    found = _given(fields, name)
    if found is None:
        if required:
            raise place.missing(f"{name}_env", f"missing; {name}_env or {name}_file says where the secret is")
        return None
    if found[1].kind == "text":
        raise found[0].error(
            f"is a secret; keep it out of this file: {name}_env or {name}_file says where it is"
        )
    return found[1]


def url_problem(text: str) -> str | None:
    """What is wrong with an address, without repeating it: it may hold a token."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "is no address such as https://example.org/hook"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "must be an address such as https://example.org/hook"
    if not text.isascii() or any(each <= " " or each == "\x7f" for each in text):
        return "must have plain characters only; write others as %XX, a host's name as xn--"
    if parts.username or parts.password:
        return "must have no user and password in it; use http_config.basic_auth"
    return None


def _http(place: Place | None) -> Http:
    if place is None:
        return Http()
    refused = {"follow_redirects": "redirects are never followed; drop it"}
    fields = place.mapping(("authorization", "basic_auth", "tls_config"), refused, what="an http_config")
    found: dict[str, Any] = {}
    if "authorization" in fields and "basic_auth" in fields:
        raise fields["basic_auth"].error("authorization is given as well; one of them is enough")
    if "authorization" in fields:
        at = fields["authorization"]
        own = at.mapping(("type", *_names("credentials")), what="type and credentials_env")
        scheme = own["type"].text(32) if "type" in own else "Bearer"
        if not re.fullmatch(r"[A-Za-z0-9-]+", scheme, re.ASCII):
            raise own["type"].error("must be a word such as Bearer")
        found |= {"scheme": scheme, "credentials": _secret(at, own, "credentials", required=True)}
    if "basic_auth" in fields:
        at = fields["basic_auth"]
        own = at.mapping(("username", *_names("password")), what="username and password_env")
        if "username" not in own:
            raise at.missing("username")
        found |= {
            "username": own["username"].text(256),
            "password": _secret(at, own, "password", required=True),
        }
    if "tls_config" in fields:
        found |= _tls(fields["tls_config"], ("ca_file", "cert_file", "key_file"))
    return Http(**found)


def _tls(place: Place, known: tuple[str, ...]) -> dict[str, str]:
    refused = {"insecure_skip_verify": "certificates are always verified; say whose with ca_file"}
    own = place.mapping(known, refused, what=f"a mapping with {' and '.join(known)}")
    if ("cert_file" in own) != ("key_file" in own):
        raise place.missing("key_file" if "cert_file" in own else "cert_file", "missing; both go together")
    return {name: value.text(4_096, what="the path of a file") for name, value in own.items()}


KINDS: Final[dict[str, tuple[Kind, Callable[[str, str, Place, MailDefaults], Target]]]] = {
    "webhook_configs": (Kind.WEBHOOK, _webhook),
    "slack_configs": (Kind.SLACK, _slack),
    "msteams_configs": (Kind.TEAMS, _teams),
    "email_configs": (Kind.EMAIL, _email),
    "alertmanager_configs": (Kind.ALERTMANAGER, _alertmanager),
}
_FIRST: Final = {
    Kind.WEBHOOK: "url: https://example.org/hook",
    Kind.SLACK: "api_url_env: SLACK_URL",
    Kind.TEAMS: "webhook_url_env: TEAMS_URL",
    Kind.EMAIL: "to: care@example.org",
    Kind.ALERTMANAGER: "url: http://alertmanager:9093",
}
