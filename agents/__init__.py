"""Thin Faust agents: take a batch, call a core, publish, write tables. No arithmetic, no rule logic."""
