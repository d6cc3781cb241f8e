"""Tables of docs/operations.md that are made from the code. Run this file to write them."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final, get_args

from pydantic import SecretStr

from stream import topics
from stream.settings import Settings
from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "operations.md"

#: Settings whose meaning is their name, in a few words more.
MEANING: Final = {
    "commit_interval_ms": "how often offsets of acknowledged batches are committed",
    "log_level": "of the worker's log on stderr; libraries speak from WARNING on",
}

#: Topic, or table, -> what is its key and what is in it.
CONTENT: Final = {
    topics.TOUCHPOINTS: ("customer", "input; replies are accepted as well"),
    topics.REPLIES: ("customer", "input; touchpoints are accepted as well"),
    topics.PARTIALS: ("slice; marks: every partition", "sums of panes and marks, between the agents"),
    topics.CLAIMS: ("none", "claims and marks on their way into one order"),
    topics.METRICS: ("slice", "output: values by metric and window"),
    topics.ALERTS: ("fingerprint", "output: alerts as CloudEvents"),
    topics.DECISIONS: (
        "fingerprint and stage",
        "output: why a rule did or did not lead to an alert, the newest of each",
    ),
    topics.ACTIONS: ("fingerprint", "input: what became of alerts, from those who act on them"),
    topics.RULES: ("moment from which they hold", "versions of the rules, from `cx rules apply`"),
    topics.SILENCES: ("id", "silences, from `cx silences add`"),
    topics.MODELS: ("name and moment", "versions of what was fitted or learned"),
    topics.ERASURES: ("fingerprint of an id", "who must be forgotten, by fingerprint; never an id"),
    topics.REDRIVES: ("none", "deliveries to try again, from `cx delivery redrive`"),
    topics.EXAMPLES: ("none", "what models are fitted to and learn from; nobody is named"),
    topics.CUSTOMERS: ("customer", "output: profiles, on change"),
    topics.DEADLETTERS: ("as it came", "output: refused records with reasons"),
    topics.CUSTOMERS_TABLE: ("customer", "changelog: state of each customer"),
    topics.PANES_TABLE: ("source and cell", "changelog: cells that are not closed yet"),
    topics.WINDOWS_TABLE: ("slice and pane", "changelog: panes, pending cells, conditions of rules"),
    topics.LANE_TABLE: ("claim", "changelog: claims waiting, alerts firing"),
    topics.MODELS_TABLE: ("model", "changelog: what models have taken in"),
    topics.DELIVERIES_TABLE: ("alert and receiver", "changelog: what is owed to receivers"),
}


def settings_table() -> str:
    """Every setting with its default and meaning, in the order of the settings object."""
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        about = field.description or MEANING[name]
        words = [each for each in get_args(field.annotation) if isinstance(each, str)]
        if words:
            about += ": " + ", ".join(f"`{each}`" for each in words)
        lines.append(f"| `CX_{name.upper()}` | {'' if default is None else f'`{default}`'} | {about} |")
    return "\n".join(lines)


def topics_table() -> str:
    """Every topic as `cx topics create` makes it."""
    app_id = str(Settings.model_fields["app_id"].default)
    lines = [
        "| topic | partitions | clean-up | retention | key | |",
        "|---|---|---|---|---|---|",
    ]
    marker = 7  # stands for the deployment's own number
    for spec in topics.layout(app_id, marker):
        table = spec.name.removeprefix(f"{app_id}-").removesuffix("-changelog")
        key, about = CONTENT[table]
        partitions = "`CX_PARTITIONS`" if spec.partitions == marker else str(spec.partitions)
        name = spec.name.replace(app_id, "<app id>", 1) if table != spec.name else spec.name
        kept = "" if spec.retention_ms is None else f"{timedelta(milliseconds=spec.retention_ms).days} d"
        lines.append(f"| `{name}` | {partitions} | {spec.cleanup} | {kept} | {key} | {about} |")
    return "\n".join(lines)


TABLES: Final = {"settings": settings_table, "topics": topics_table}


def render(page: str) -> str:
    """The page with its tables as they must be."""
    for name, table in TABLES.items():
        page, found = re.subn(
            rf"(?s)(<!-- {name}: [^\n]*-->\n).*?(?=<!-- end -->)", lambda m, t=table: f"{m[1]}{t()}\n", page
        )
        if found != 1:
            raise ValueError(f"{name}: marked {found} times")
    return page


if __name__ == "__main__":
    Path(PAGE).write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
