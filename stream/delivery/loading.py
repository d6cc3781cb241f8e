"""The delivery file from disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.alerting.nodes import MAX_BYTES, TOO_LARGE
from stream.delivery.reading import DeliveryError, read_delivery
from stream.delivery.secrets import missing

if TYPE_CHECKING:
    from pathlib import Path

    from stream.delivery.model import DeliveryPlan


def load_delivery(path: Path) -> DeliveryPlan:
    """Read a delivery file, as the worker does.

    Raises:
        DeliveryError: the file is wrong, or a secret is not where it says.
        ValueError: it cannot be read; the text names ``CX_DELIVERY``.
    """
    plan = read_delivery(text_of(path), str(path))
    for target, problem in missing(plan):
        raise DeliveryError(plan.filename, target.line, target.receiver, "", f"{target.kind}: {problem}")
    return plan


def text_of(path: Path) -> str:
    """A delivery file's text.

    Raises:
        DeliveryError: it is too large.
        ValueError: it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DeliveryError(str(path), 1, None, "", TOO_LARGE)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"CX_DELIVERY: {path} cannot be read as UTF-8 text ({type(error).__name__})"
        ) from None
