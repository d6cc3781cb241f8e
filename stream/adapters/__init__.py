"""What other products send by webhook, as records of the contract: one declarative mapping a sender.

A mapping is a YAML file (`senders/`, and the deployment's own in ``CX_ADAPTERS``). It says how a call is known to
be genuine, which of its parts become records, and where each field comes from. Nothing in it is ever run as code.
"""

from __future__ import annotations

from stream.adapters.mapping import Adapter, MappingError, read_adapter
from stream.adapters.senders import load_adapters
from stream.adapters.signatures import Call, Refusal, Signature, verify

__all__ = [
    "Adapter",
    "Call",
    "MappingError",
    "Refusal",
    "Signature",
    "load_adapters",
    "read_adapter",
    "verify",
]
