"""How every metric rule stands on every slice of a partition: what survives a restart, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from stream.alerting.conditions import Reason
from stream.alerting.fdr import Ledger as Episodes
from stream.alerting.ledger import Ledger
from stream.alerting.life import FIRES, NEW, Phase, State, disposable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.life import Told

STATES: Final = "rule|"
EPISODES: Final = "fdr|"

_QUIET: Final = frozenset({Reason.OK, Reason.NO_DATA})
_NO_EPISODES: Final = Episodes()
_encode: Final = msgspec.json.Encoder().encode
_decode_state: Final = msgspec.json.Decoder(tuple[str, State]).decode
_decode_episodes: Final = msgspec.json.Decoder(Episodes).decode

At = tuple[str, str]
"""Slice key and alert."""


class Standing:
    """States by slice and alert.

    Args:
        horizon_ms: how late data may be.

    Attributes:
        states: Slice key -> alert -> state; one that says nothing is left out.
        hot: Slice key -> alerts that have to be decided even if no line is crossed.
        late: Slice key -> alerts that late data may change.
    """

    def __init__(self, horizon_ms: int) -> None:
        self.states: Final[dict[str, dict[str, State]]] = {}
        self.hot: Final[dict[str, set[str]]] = {}
        self.late: Final[dict[str, set[str]]] = {}
        self._horizon_ms: Final = horizon_ms
        self._by: Final[dict[At, str]] = {}
        self._reasons: Final[dict[str, dict[str, Reason]]] = {}
        self._episodes: Final[dict[str, Episodes]] = {}
        self._ledger: Final = Ledger()

    def restore(self, key: str, value: bytes) -> None:
        """Take an entry of the table back.

        Raises:
            msgspec.DecodeError: no entry of a judge.
        """
        self._ledger.restore(key, value)

    def ready(self, frontier: int) -> None:
        """All entries are back: what is held is as of the instant ``frontier``."""
        for key, value in self._ledger.settle(frontier).items():
            if key.startswith(EPISODES):
                self._episodes[key.removeprefix(EPISODES)] = _decode_episodes(value)
                continue
            alert, slice_key = key.removeprefix(STATES).split("|", 1)
            by, state = _decode_state(value)
            self.states.setdefault(slice_key, {})[alert] = state
            self._by[slice_key, alert] = by
            self._follow(slice_key, alert, state)

    def changes(self, frontier: int) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Entries to write before the progress of ``frontier``, and keys to delete after it."""
        return self._ledger.changes(frontier)

    def get(self, slice_key: str, alert: str) -> State:
        """A state; ``NEW`` where there is none."""
        states = self.states.get(slice_key)
        return NEW if states is None else states.get(alert, NEW)

    def is_by(self, slice_key: str, alert: str, by: str) -> bool:
        """Whether the state, if there is one, comes from a rule that judges as the one of that hash."""
        return self._by.get((slice_key, alert), by) == by

    def items(self) -> Iterator[tuple[str, str, State]]:
        """Slice key, alert, state of all that there are."""
        for slice_key, states in self.states.items():
            for alert, state in states.items():
                yield slice_key, alert, state

    def put(self, slice_key: str, alert: str, by: str, state: State, t_ms: int) -> None:
        """The state from now on; one that says nothing is dropped."""
        old = self.get(slice_key, alert)
        if disposable(state, t_ms, self._horizon_ms):
            self.drop(slice_key, alert)
        elif state is not old and (state != old or not self.is_by(slice_key, alert, by)):
            if len(state.told) > 1:
                state = replace(state, told=self._kept(state, t_ms))
            self.states.setdefault(slice_key, {})[alert] = state
            self._by[slice_key, alert] = by
            self._ledger.put(_key(slice_key, alert), _encode((by, state)))
            if (state.phase, state.episode, state.told) != (old.phase, old.episode, old.told):
                self._follow(slice_key, alert, state)

    def drop(self, slice_key: str, alert: str) -> None:
        """There is no state any more."""
        states = self.states.get(slice_key, {})
        if states.pop(alert, None) is not None:
            if not states:
                del self.states[slice_key]
            del self._by[slice_key, alert]
            self._ledger.drop(_key(slice_key, alert))
        self._follow(slice_key, alert, NEW)

    def forget(self, slice_key: str, alert: str) -> None:
        """Drop, with the reason: there is no such rule any more."""
        self._reasons.get(slice_key, {}).pop(alert, None)
        self.drop(slice_key, alert)

    def noted(self, slice_key: str, alert: str, reason: Reason) -> bool:
        """Remember why it was decided so; returns whether that is worth telling.

        Where all is well, or there is nothing, only the return to it is.
        """
        reasons = self._reasons.get(slice_key, {})
        known = reasons.get(alert)
        if known is reason or (known is None and reason in _QUIET):
            return False
        if reason in _QUIET:
            del reasons[alert]
            if not reasons:
                del self._reasons[slice_key]
        else:
            reasons[alert] = reason
            self._reasons[slice_key] = reasons
        self._follow(slice_key, alert, self.get(slice_key, alert))
        return True

    def is_noted(self, slice_key: str, alert: str, reason: Reason) -> bool:
        """Whether it was decided for this reason the last time too."""
        reasons = self._reasons.get(slice_key)
        return reasons is not None and reasons.get(alert) is reason

    def episodes(self, alert: str) -> Episodes:
        """Of a rule with ``fdr``."""
        return self._episodes.get(alert, _NO_EPISODES)

    def count(self, alert: str, episodes: Episodes) -> None:
        """So many episodes from now on."""
        if episodes != self.episodes(alert):
            self._episodes[alert] = episodes
            self._ledger.put(EPISODES + alert, _encode(episodes))

    def _kept(self, state: State, t_ms: int) -> tuple[Told, ...]:
        """Without what late data cannot change any more; of what fires the last one stays."""
        fires = state.told[-1:] if state.phase in FIRES else ()
        rest = state.told[: len(state.told) - len(fires)]
        return tuple(told for told in rest if told.claim.starts_at_ms + self._horizon_ms >= t_ms) + fires

    def _follow(self, slice_key: str, alert: str, state: State) -> None:
        under_way = state.phase is not Phase.INACTIVE or state.episode is not None
        noted = alert in self._reasons.get(slice_key, ())
        _place(self.hot, slice_key, alert, there=under_way or noted)
        _place(self.late, slice_key, alert, there=any(told.sums for told in state.told))


def _key(slice_key: str, alert: str) -> str:
    return f"{STATES}{alert}|{slice_key}"


def _place(where: dict[str, set[str]], slice_key: str, alert: str, *, there: bool) -> None:
    alerts = where.get(slice_key)
    if there:
        where.setdefault(slice_key, set()).add(alert)
    elif alerts is not None:
        alerts.discard(alert)
        if not alerts:
            del where[slice_key]
