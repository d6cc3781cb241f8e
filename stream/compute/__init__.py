"""Metrics of files: what the agents would publish of the same records, without a broker and with all cores.

Pure are ``share`` (some partitions of the inputs, in memory) and ``collector`` (their panes, kept instead of
published); ``lines`` reads files, and ``processes`` runs a share on each core and puts their sums together.
"""

from stream.compute.lines import Unreadable
from stream.compute.processes import Broken, Computed, Job, compute

__all__ = ["Broken", "Computed", "Job", "Unreadable", "compute"]
