"""Delivery files: what is right is read as it is meant, what is wrong is refused with its place and a way out."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.delivery.model import Given
from stream.delivery.reading import DeliveryError, read_delivery
from stream.delivery.routes import receivers_of
from stream.delivery.signing import SecretWrong, secrets_of
from tests.docs.pages import ROOT

EXAMPLE = ROOT / "examples" / "delivery.yml"
ROUTE = "route: {receiver: care}\n"


def refusal(text: str) -> str:
    """What is said about a wrong file."""
    with pytest.raises(DeliveryError) as wrong:
        read_delivery(text, "d.yml")
    return str(wrong.value)


def of_receiver(fields: str) -> str:
    """What is said about a wrong receiver, without its place."""
    said = refusal(f"{ROUTE}receivers:\n- name: care\n  {fields}\n")
    return said.removeprefix("d.yml:4: receiver 'care': ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "d.yml:1: is empty; it needs `receivers` and a `route`"),
        ("a: [", "d.yml:2: not valid YAML"),
        ("receivers: []", "d.yml:1: route: missing"),
        (ROUTE, "d.yml:1: receivers: missing"),
        (f"{ROUTE}receivers: []", "d.yml:2: receivers: must have 1 to 1000 receivers"),
        (f"{ROUTE}receivers:\n- {{}}", "d.yml:3: receivers[0].name: missing"),
        (
            f"{ROUTE}receivers:\n- name: care\n- name: care",
            "d.yml:4: receivers[1].name: 'care' is a receiver already",
        ),
        (
            "receivers: [{name: care}]\nroute:\n  receiver: crae",
            "d.yml:3: route.receiver: undefined receiver 'crae' used in route; did you mean 'care'?",
        ),
        ("receivers: [{name: care}]\nroute: {}", "d.yml:2: route.receiver: missing; the root says who gets"),
        (
            "receivers: [{name: care}]\nroute: {receiver: care, matchers: [a=b]}",
            "d.yml:2: route.matchers: the root takes every alert",
        ),
        (
            "receivers: [{name: care}]\nroute: {receiver: care, group_by: [a]}",
            "d.yml:2: route.group_by: is for the rules file",
        ),
        (
            f"{ROUTE}receivers: [{{name: care}}]\ninhibit_rules: []",
            "d.yml:3: inhibit_rules: is for the rules file",
        ),
        (
            f"{ROUTE}receivers: [{{name: care}}]\nrecievers: []",
            "d.yml:3: recievers: unknown field; did you mean",
        ),
        (
            f"{ROUTE}receivers: [{{name: care}}]\nallow_private: [10.0.0.1/8]",
            "d.yml:3: allow_private[0]: '10.0.0.1/8'",
        ),
        (
            f"{ROUTE}receivers: [{{name: care}}]\ngive_up_after: 3",
            "d.yml:3: give_up_after: must be a duration",
        ),
    ],
)
def test_what_is_wrong_with_a_file(text: str, said: str) -> None:
    """The message names file, line and field, and says what to do."""
    assert refusal(text).startswith(said)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (
            "matchers: severity=critical",
            "matchers: must be a mapping such as {severity: critical}, or a list",
        ),
        ("matchers: [severity]", "matchers[0]: 'severity' is no matcher"),
        ("matchers: ['segment=~\"(\"']", "matchers[0]: not a regular expression"),
        ("matchers: {state: firing}", "matchers.state: state is no label; beside an alert's own there are"),
        ("match: {severity: critical}", "match: write it as matchers"),
        ("continue: yes", "continue: must be true or false"),
        ("mute_time_intervals: [night]", "mute_time_intervals: is for the rules file"),
    ],
)
def test_what_is_wrong_with_a_route(route: str, said: str) -> None:
    """Routes are refused at their place in the tree."""
    text = f"receivers: [{{name: care}}]\nroute:\n  receiver: care\n  routes:\n  - {route}"
    assert refusal(text).startswith(f"d.yml:5: route.routes[0].{said}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            "webhook_configs: [{}]",
            "webhook_configs[0].url: missing; url, url_env or url_file says where to send",
        ),
        ("webhook_configs: [{url: ftp://x}]", "webhook_configs[0].url: must be an address such as https://"),
        (
            "webhook_configs: [{url: 'https://a:b@x'}]",
            "webhook_configs[0].url: must have no user and password",
        ),
        (
            "webhook_configs: [{url: 'https://x/ä'}]",
            "webhook_configs[0].url: must have plain characters only",
        ),
        (
            "webhook_configs: [{url: https://x, url_env: X}]",
            "webhook_configs[0].url_env: url is given as well",
        ),
        (
            "webhook_configs: [{url: https://x, secret: hush}]",
            "webhook_configs[0].secret: is a secret; keep it out",
        ),
        (
            "webhook_configs: [{url: https://x, secret_env: 'a b'}]",
            "webhook_configs[0].secret_env: must be the name",
        ),
        (
            "webhook_configs: [{url: https://x, timeout: 5m}]",
            "webhook_configs[0].timeout: must be at most 1m",
        ),
        (
            "webhook_configs: {url: https://x}",
            "webhook_configs: must be a list: - url: https://example.org/hook",
        ),
        ("slack_configs: [{api_url: https://hooks.slack.com/x}]", "slack_configs[0].api_url: is a secret"),
        (
            "slack_configs: [{}]",
            "slack_configs[0].api_url_env: missing; api_url_env or api_url_file says where",
        ),
        (
            "slack_configs: [{channel: '#cx', api_url_env: X}]",
            "slack_configs[0].channel: is what the webhook was",
        ),
        ("pagerduty_configs: []", "pagerduty_configs: is not spoken here; send to an Alertmanager that does"),
        ("email_configs: [{from: a@b.c, smarthost: 'x:25'}]", "email_configs[0].to: missing"),
        (
            "email_configs: [{to: a@b.c, from: a@b.c}]",
            "email_configs[0].smarthost: missing; here, or as global.smtp_",
        ),
        (
            "email_configs: [{to: 'a@b.c, d', from: a@b.c, smarthost: 'x:25'}]",
            "email_configs[0].to: must be an addr",
        ),
        (
            "email_configs: [{to: a@b.c, from: a@b.c, smarthost: x}]",
            "email_configs[0].smarthost: must be host:port",
        ),
        (
            "email_configs: [{to: a@b.c, from: a@b.c, smarthost: 'x:25', auth_username: u}]",
            "email_configs[0].auth_password: missing; both go together",
        ),
        (
            "alertmanager_configs: [{url: http://am:9093, resend_delay: 1m, resolve_timeout: 90s}]",
            "alertmanager_configs[0].resolve_timeout: must be at least twice resend_delay",
        ),
        (
            "webhook_configs: [{url: https://x, http_config: {tls_config: {insecure_skip_verify: true}}}]",
            "webhook_configs[0].http_config.tls_config.insecure_skip_verify: certificates are always verified",
        ),
        (
            "webhook_configs: [{url: https://x, http_config: {basic_auth: {username: u, password: p}}}]",
            "webhook_configs[0].http_config.basic_auth.password: is a secret; keep it out",
        ),
        (
            "webhook_configs: [{url: https://x, http_config: {follow_redirects: true}}]",
            "webhook_configs[0].http_config.follow_redirects: redirects are never followed",
        ),
    ],
)
def test_what_is_wrong_with_a_receiver(fields: str, said: str) -> None:
    """Receivers are refused by name and field; secrets that stand in the file are refused and not repeated."""
    found = of_receiver(fields)
    assert found.startswith(said)
    assert "hush" not in found


def test_a_password_never_travels_in_the_clear() -> None:
    """Without TLS there may be no password."""
    fields = "to: a@b.c, from: a@b.c, smarthost: 'x:25', auth_username: u, auth_password_env: P"
    said = of_receiver(f"email_configs: [{{{fields}, require_tls: false}}]")
    assert said.startswith("email_configs[0].require_tls: a password needs TLS")


def test_secrets_are_in_no_repr() -> None:
    """What might be logged by accident has no address in it."""
    text = f"{ROUTE}receivers: [{{name: care, webhook_configs: [{{url: 'https://x.org/token-123'}}]}}]"
    assert "token-123" not in repr(read_delivery(text, "d.yml"))
    assert str(Given("env", "HOOK")) == "env HOOK"


def test_mail_takes_what_global_says() -> None:
    """A target's own fields win; a password of its own replaces the common one however it is given."""
    text = f"""
global: {{smtp_smarthost: 'mail:587', smtp_from: cx@b.org, smtp_auth_username: u, smtp_auth_password_env: P}}
{ROUTE}receivers:
- name: care
  email_configs:
  - to: [a@b.org, c@b.org]
  - {{to: d@b.org, smarthost: 'other:465', auth_password_file: /run/p}}
"""
    first, second = (target.mail for target in read_delivery(text, "d.yml").targets.values())
    assert first is not None
    assert second is not None
    assert (first.to, first.host, first.port, first.password) == (
        ("a@b.org", "c@b.org"),
        "mail",
        587,
        Given("env", "P"),
    )
    assert (second.host, second.port, second.username, second.password) == (
        "other",
        465,
        "u",
        Given("file", "/run/p"),
    )


def test_the_example_routes_as_its_comments_say() -> None:
    """examples/delivery.yml is right, and does what it is there to show."""
    plan = read_delivery(EXAMPLE.read_text(encoding="utf-8"), str(EXAMPLE))

    def to(**labels: str) -> list[str]:
        return receivers_of(plan.route, labels)

    assert to(severity="warning") == ["care"]
    assert to(severity="info") == ["nobody"]
    assert to(severity="info", segment="vip") == ["nobody"]
    assert to(severity="critical", action="callback") == ["crm", "on-call"]
    assert to(severity="critical", segment="vip") == ["on-call", "care"]
    assert to(severity="warning", action="callback") == ["crm"]
    assert list(plan.targets) == ["care/slack", "care/email", "crm/webhook", "on-call/alertmanager"]


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever is in a file, it is read or refused."""
    for each in (text, f"receivers: [{{name: a}}]\nroute: {{receiver: a, routes: [{text}]}}"):
        with suppress(DeliveryError):
            read_delivery(each, "d.yml")


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_!!", "whsec_" + "YQ" * 4, " ".join(["whsec_" + "YWFh" * 8] * 11), "x" * 200]
)
def test_signing_secrets_that_cannot_be(text: str) -> None:
    """A secret is 24 to 64 bytes in base64, and is not repeated when it is none."""
    with pytest.raises(SecretWrong) as wrong:
        secrets_of(text)
    assert not text or text not in str(wrong.value)
