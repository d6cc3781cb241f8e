"""Bad records, each with the reason it must be refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from .journeys import Record

_json: Final = msgspec.json.encode


def _but(record: Record, **changes: object) -> bytes:
    return _json({**record, **changes})


def _without(record: Record, name: str) -> bytes:
    return _json({key: value for key, value in record.items() if key != name})


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def _too_deep(record: Record) -> bytes:
    return _json(record)[:-1] + b',"extra":' + _nested(200) + b"}"


#: Reason -> ways to spoil a good reply or touchpoint so that it is refused for that reason.
DEFECTS: Final[dict[str, tuple[Callable[[Record], bytes], ...]]] = {
    "not_json": (
        lambda r: _json(r)[:-7],
        lambda _: b"",
        lambda r: b"\xff\xfe" + _json(r),
        lambda _: b"hello",
        lambda r: _json(r).replace(b'"segment":', b'"score":NaN,"segment":', 1),
    ),
    "missing_field": (
        lambda r: _without(r, "event_id"),
        lambda r: _without(r, "customer_id"),
        lambda r: _without(r, "occurred_at"),
        lambda r: _without(r, "metric" if "metric" in r else "kind"),
    ),
    "bad_type": (
        lambda r: _but(r, segment=7),
        lambda r: _but(r, event_id=12345),
        lambda r: _json([r]),
        lambda r: _but(r, **({"score": "nine"} if "metric" in r else {"value": "12.50"})),
    ),
    "bad_time": (
        lambda r: _but(r, occurred_at="2026-01-12T09:00:00"),
        lambda r: _but(r, occurred_at="yesterday"),
        lambda r: _but(r, occurred_at=-1),
    ),
    "out_of_range": (
        lambda r: _but(r, customer_id="x" * 300),
        lambda r: _but(r, event_id=""),
        lambda r: _but(r, channel="x" * 200),
        lambda r: _but(r, **({"score": 99} if "metric" in r else {"kind": "k" * 65})),
        lambda r: _but(r, stage="limbo"),
    ),
    "bad_text": (lambda r: _but(r, segment="v\0ip"),),
    "bad_scale": (
        lambda r: _but({**r, "metric": "csat", "score": 1}, scale=[5, 1]),
        lambda r: _but({**r, "metric": "ces", "score": 1}, scale=[1, 1]),
    ),
    "bad_envelope": (
        lambda r: _json({"specversion": "0.1", "id": "1", "source": "/s", "type": "t", "data": r}),
    ),
    "too_deep": (_too_deep,),
    "too_large": (lambda r: _but(r, note="x" * 70_000),),
}

#: How often each reason comes up among bad records.
_WEIGHTS: Final = {"too_large": 0.2, "too_deep": 0.5}


def spoil(rng: Random, record: Record) -> tuple[bytes, str]:
    """Spoil a good record: its bytes, and the reason they must be refused for.

    The record's limits are the contract's and the defaults: 64 KiB, and fewer than 200 levels.
    """
    reason = rng.choices(list(DEFECTS), [_WEIGHTS.get(name, 1.0) for name in DEFECTS])[0]
    return rng.choice(DEFECTS[reason])(record), reason
