"""Rules on history: which alerts files of events would have led to, and how good these would have been.

Pure are ``sources``, ``needs`` and ``replay`` (the agents' own cores, over lines in memory), ``score`` (alerts
held against outcomes), ``tuning`` and ``html``; ``run`` reads files.
"""

from stream.backtest.run import Replayed, replay

__all__ = ["Replayed", "replay"]
