"""Rules on history: which alerts files of events would have led to, and how good these would have been.

Pure are ``sources``, ``needs`` and ``replay`` (the agents' own cores, over lines in memory), ``score`` (alerts
held against outcomes), ``report``, ``tuning`` and ``html``; ``run`` reads files, on several processes.
"""

from stream.backtest.outcomes import BadOutcome, Incident, Judgement, read_outcomes
from stream.backtest.report import Report, report
from stream.backtest.run import Replayed, replay

__all__ = [
    "BadOutcome",
    "Incident",
    "Judgement",
    "Replayed",
    "Report",
    "read_outcomes",
    "replay",
    "report",
]
