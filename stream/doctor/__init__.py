"""What is wrong with a deployment, and what to do: facts are gathered first, checks are functions of them.

`look` gathers (settings, machine, broker, group, records, Redis, worker), each part on its own, so that one that
is away hides no other. `examine` applies every check of `CHECKS` to the facts; no check asks for anything else.
"""

from __future__ import annotations

from stream.doctor.checks import CHECKS, examine
from stream.doctor.facts import Facts
from stream.doctor.findings import Finding, Level
from stream.doctor.look import PARTS, look

__all__ = ["CHECKS", "PARTS", "Facts", "Finding", "Level", "examine", "look"]
