"""What of a deployment's settings and rules decides the outcome, for workers and for files alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream import topics
from stream.alerting.rules import RuleBook, load_rules
from stream.customers import SIGNALS, CustomerConfig
from stream.intake import Limits
from stream.measures import Groupings, PaneConfig, plan
from stream.measures.declare import Declarations
from stream.pipeline import PipelineConfig

if TYPE_CHECKING:
    from stream.settings import Settings


def load_book(settings: Settings) -> RuleBook:
    """Read the rules file.

    Raises:
        RuleError: the file is wrong, with file, line, rule and field.
        ValueError: ``CX_RULES`` names no file that can be read, or ``CX_WINDOWS`` none that can be kept.
    """
    windows = settings.window_names
    try:
        plan(settings.pane_ms, windows)
    except ValueError as exc:
        raise ValueError(f"CX_WINDOWS: {exc}") from None
    if settings.rules is None:
        return RuleBook("", declared=Declarations(windows=windows, min_slice_n=settings.min_slice_n))
    try:
        text = settings.rules.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(
            f"CX_RULES: {settings.rules} cannot be read as UTF-8 text ({type(exc).__name__})"
        ) from None
    return load_rules(
        text,
        str(settings.rules),
        windows=windows,
        signals=SIGNALS,
        confidence=settings.confidence,
        min_slice_n=settings.min_slice_n,
    )


def pipeline_config(settings: Settings, book: RuleBook) -> PipelineConfig:
    """What of the settings decides the outcome."""
    return PipelineConfig(
        topics=topics.INPUTS,
        partitions=settings.partitions,
        groupings=Groupings(book.groupings, settings.max_members),
        limits=Limits(max_bytes=settings.max_record_bytes),
        panes=PaneConfig(
            settings.pane_ms, settings.lateness_ms, settings.late_horizon_ms, settings.max_ahead_ms
        ),
        customers=CustomerConfig(
            dedup_horizon_ms=settings.dedup_horizon_ms, dedup_per_customer=settings.dedup_per_customer
        ),
        confidence=settings.confidence,
        declared=book.declared,
    )
