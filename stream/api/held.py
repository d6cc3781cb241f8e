"""What is known of alerts, kept up as records come: bounded, newest first to stay. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import ValidationError

from schemas import ActionTaken
from stream.accounts.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CUSTOMER: Final = "customer:"
MOST_EVENTS: Final = 50
"""Events kept of one alert."""
MOST_WINDOWS: Final = 50_000
"""Alerts over windows that are kept."""
MOST_CUSTOMERS: Final = 20_000
"""Alerts about single customers that are kept."""

_decode = msgspec.json.Decoder().decode


class Held:
    """The accounts of alerts, by fingerprint.

    Attributes:
        version: changes whenever an account does.
    """

    def __init__(self, windows: int = MOST_WINDOWS, customers: int = MOST_CUSTOMERS) -> None:
        self._most = {False: windows, True: customers}
        self._accounts: dict[bool, OrderedDict[str, Account]] = {False: OrderedDict(), True: OrderedDict()}
        self._ids: dict[str, set[str]] = {}
        self._ranks: dict[str, Any] = {}
        self.version = 0

    def take_alert(self, value: bytes | None, at_ms: int | None = None) -> str | None:
        """An event of ``cx.alerts``, and when the broker got it.

        Returns its fingerprint, or None where it is no event, or was told before.
        """
        event = _object(value)
        data = event.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("fingerprint"), str):
            return None
        mark, name = str(data["fingerprint"]), str(event.get("id"))
        ids = self._ids.setdefault(mark, set())
        if name in ids:
            return None
        account = self._account(mark, of_customer=str(event.get("subject", "")).startswith(CUSTOMER))
        account.events.append(event)
        account.told_ms = at_ms
        ids.add(name)
        if len(account.events) > MOST_EVENTS:
            ids.discard(str(account.events.pop(0).get("id")))
        self._changed(mark)
        return mark

    def take_decision(self, key: bytes | None, value: bytes | None) -> None:
        """A record of ``cx.decisions``."""
        mark, _, stage = (key or b"").decode(errors="replace").partition("|")
        if value is None:
            for accounts in self._accounts.values():
                if mark in accounts and accounts[mark].decisions.pop(stage, None) is not None:
                    self._changed(mark)
            return
        decision = _object(value)
        if not {"fingerprint", "stage", "reason", "alert", "labels", "since", "as_of"} <= decision.keys():
            return
        mark, stage = str(decision["fingerprint"]), str(decision["stage"])
        self._account(mark, of_customer=stage == "customer").decisions[stage] = decision
        self._changed(mark)

    def take_action(self, value: bytes | None) -> None:
        """A record of ``cx.actions``; of an alert that is not known nothing is kept."""
        try:
            action = ActionTaken.model_validate_json(value or b"")
        except ValidationError:
            return
        account = self.get(action.fingerprint)
        if account is not None:
            account.actions.append(_decode(action.model_dump_json(exclude_none=True)))
            del account.actions[:-MOST_EVENTS]
            self._changed(account.fingerprint)

    def forget(self, erased: Callable[[str], bool]) -> None:
        """Drop every account about a customer of whom this holds."""
        about = [
            mark
            for mark, each in self._accounts[True].items()
            if each.events and erased(each.subject.removeprefix(CUSTOMER))
        ]
        for mark in about:
            del self._accounts[True][mark]
            self._drop(mark)

    def get(self, fingerprint: str) -> Account | None:
        """The account of an alert; of one without anything said nothing is known."""
        for accounts in self._accounts.values():
            found = accounts.get(fingerprint)
            if found is not None and (found.events or found.decisions):
                return found
        return None

    def ordered(self, *, customers: bool) -> list[Account]:
        """Accounts with what fires first; those of single customers where asked for."""
        found = [each for each in self._accounts[False].values() if each.events or each.decisions]
        if customers:
            found += [each for each in self._accounts[True].values() if each.events or each.decisions]
        return sorted(found, key=self._rank)

    def firing(self) -> tuple[int, int]:
        """How many fire: over windows, and about single customers."""
        over, about = (sum(each.firing for each in self._accounts[of].values()) for of in (False, True))
        return over, about

    def events(self) -> Iterable[dict[str, Any]]:
        """Every event that is kept."""
        for accounts in self._accounts.values():
            for each in accounts.values():
                yield from each.events

    def _rank(self, account: Account) -> Any:
        rank = self._ranks.get(account.fingerprint)
        if rank is None:
            rank = self._ranks[account.fingerprint] = account.rank
        return rank

    def _account(self, mark: str, *, of_customer: bool) -> Account:
        # The first record of a customer's alert may be one that does not show that it is.
        there = self._accounts[True].pop(mark, None)
        other = self._accounts[False].pop(mark, None)
        account = there or other or Account(mark)
        accounts = self._accounts[of_customer or there is not None]
        accounts[mark] = account  # at the end: the longest unchanged goes first
        if len(accounts) > self._most[of_customer or there is not None]:
            self._drop(accounts.popitem(last=False)[0])
        return account

    def _changed(self, mark: str) -> None:
        self._ranks.pop(mark, None)
        self.version += 1

    def _drop(self, mark: str) -> None:
        self._ids.pop(mark, None)
        self._changed(mark)


def _object(value: bytes | None) -> dict[str, Any]:
    try:
        found = _decode(value or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
