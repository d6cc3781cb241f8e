"""What of a deployment's settings and rules decides the outcome, for workers and for files alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream import topics
from stream.alerting.kept import WAY_OUT, not_kept
from stream.alerting.rules import RuleBook, RuleError, load_rules
from stream.customers import SIGNALS, CustomerConfig
from stream.customers.state import Lessons
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
        return silent_book(settings)
    try:
        text = settings.rules.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(
            f"CX_RULES: {settings.rules} cannot be read as UTF-8 text ({type(exc).__name__})"
        ) from None
    return read_rules(text, str(settings.rules), settings)


def read_rules(text: str, filename: str, settings: Settings) -> RuleBook:
    """The rules in a text, as this deployment would have them.

    Raises:
        RuleError: the text is wrong, with ``filename``, line, rule and field.
    """
    return load_rules(
        text,
        filename,
        windows=settings.window_names,
        signals=SIGNALS,
        confidence=settings.confidence,
        min_slice_n=settings.min_slice_n,
        pane_ms=settings.pane_ms,
    )


def read_version(text: str, filename: str, settings: Settings, kept: RuleBook) -> RuleBook:
    """Rules that are to take the place of others while workers run, which started with ``kept``.

    Raises:
        RuleError: the text is wrong, or needs what is not kept: the message says all of it.
    """
    book = read_rules(text, filename, settings)
    if wrong := not_kept(book, kept, silent_book(settings)):
        raise RuleError(filename, 1, None, "", "\n  ".join(["needs what is not kept now:", *wrong, WAY_OUT]))
    return book


def silent_book(settings: Settings) -> RuleBook:
    """What holds where no rules file says anything."""
    return RuleBook(
        "", declared=Declarations(windows=settings.window_names, min_slice_n=settings.min_slice_n)
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
            dedup_horizon_ms=settings.dedup_horizon_ms,
            dedup_per_customer=settings.dedup_per_customer,
            attributes=settings.attributes_kept,
            lessons=Lessons(settings.models_every_ms, settings.churn_horizon_ms)
            if settings.models_every_ms
            else None,
        ),
        confidence=settings.confidence,
        models_every_ms=settings.models_every_ms,
        models_sample=settings.models_sample,
        declared=book.declared,
    )
